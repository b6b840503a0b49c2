//! What evcxr says about variables that cannot live on between cells, in words that a beginner can act on.

/// The message with what to write instead; unchanged when it is about something else.
pub fn in_plain_words(message: &str) -> String {
    let Some(name) = message.split('`').nth(1) else { return message.to_owned() };
    if message.contains("contains a reference with a non-static lifetime") {
        return format!(
            "`{name}` borrows from another variable, and a variable that lives on between cells has to own its value. Write \
             `&…` where the borrow is used instead of keeping it in `{name}`, keep a copy (`.clone()`, `.to_vec()`, \
             `.to_owned()`), or put all lines that need `{name}` between braces: {{ … }}"
        );
    }
    if message.contains("is a closure, which cannot be persisted") {
        return format!(
            "`{name}` is a closure, whose type has no name, so that it cannot be kept for later cells. Write a function, \
             `fn {name}(…) -> … {{ … }}`, or keep it in a box: `let {name}: Box<dyn Fn(i32) -> i32> = Box::new(|x| x + 1);`"
        );
    }
    if message.contains("which cannot be persisted") {
        let kind = message.split('`').nth(3).unwrap_or("…");
        return format!(
            "`{name}` has the type `{kind}`, which has no name that could be written down, so that it cannot be kept for \
             later cells. Finish it (an iterator with `.collect::<Vec<_>>()`), keep it in a box (`let {name}: Box<dyn \
             Iterator<Item = i32>> = Box::new(…);`), or put all lines that need `{name}` between braces: {{ … }}"
        );
    }
    if message.contains("Couldn't automatically determine type of variable") {
        return format!(
            "the type of `{name}` could not be found out: write it down, as in `let {name}: Vec<f64> = …;`"
        );
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::in_plain_words;

    #[test]
    fn each_of_them_names_the_variable_and_a_way_out() {
        let borrow =
            "The variable `r` contains a reference with a non-static lifetime so\ncan't be persisted. You can prevent";
        assert!(in_plain_words(borrow).contains("instead of keeping it in `r`"));
        let closure = "The variable `f` is a closure, which cannot be persisted.\nYou can however persist closures";
        assert!(in_plain_words(closure).contains("`fn f(…)"));
        let unnamed =
            "The variable `it` has type `std::iter::Map<impl FnMut(i32)>` which cannot be persisted.\nYou might";
        let said = in_plain_words(unnamed);
        assert!(said.contains("`std::iter::Map<impl FnMut(i32)>`") && said.contains("collect::<Vec<_>>"), "{said}");
        let unknown = "Couldn't automatically determine type of variable `x`.\nPlease give it an explicit type.";
        assert!(in_plain_words(unknown).contains("let x: Vec<f64>"));
        assert_eq!(in_plain_words("mismatched types"), "mismatched types");
    }
}
