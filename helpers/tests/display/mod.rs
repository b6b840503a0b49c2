//! The protocol, tables, and numbers as text.

use onramp::display::{Bundle, Shown, Table, chosen, significant};
use serde_json::{Value, json};

fn bundle() -> Bundle {
    Bundle::new().html("<b>one\ntwo</b>").text("one\ntwo").plotly(json!({"data": [], "layout": {}}))
}

#[test]
fn our_kernel_gets_every_form_in_one_block_of_one_line() {
    let printed = bundle().protocol(true);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "{printed}");
    assert_eq!(lines[0], "EVCXR_BEGIN_CONTENT application/vnd.onramp.bundle+json");
    assert_eq!(lines[2], "EVCXR_END_CONTENT");
    let content: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(content["data"]["text/html"], "<b>one\ntwo</b>");
    assert_eq!(content["data"]["text/plain"], "one\ntwo");
    assert_eq!(content["data"]["application/vnd.plotly.v1+json"], json!({"data": [], "layout": {}}));
    assert_eq!(content["metadata"], json!({}));
}

#[test]
fn any_other_kernel_gets_one_block_for_each_form_and_html_last() {
    let printed = bundle().protocol(false);
    assert_eq!(
        printed,
        "EVCXR_BEGIN_CONTENT application/vnd.plotly.v1+json\n{\"data\":[],\"layout\":{}}\nEVCXR_END_CONTENT\n\
         EVCXR_BEGIN_CONTENT text/plain\none\ntwo\nEVCXR_END_CONTENT\n\
         EVCXR_BEGIN_CONTENT text/html\n<b>one\ntwo</b>\nEVCXR_END_CONTENT\n"
    );
}

#[test]
fn a_table_escapes_what_it_shows_as_html_and_not_as_text() {
    let table =
        Table::new("a<b & \"c\"", ["<i>name</i>", "value"]).row(["<script>alert(1)</script>", "1"]).note("x > 'y'");
    let html = table.html();
    assert!(!html.contains("<script>") && !html.contains("<i>"), "{html}");
    for wanted in ["a&lt;b &amp; &quot;c&quot;", "&lt;i&gt;name&lt;/i&gt;", "&lt;script&gt;", "x &gt; &#39;y&#39;"] {
        assert!(html.contains(wanted), "{wanted} is missing in {html}");
    }
    assert!(table.to_string().contains("<script>alert(1)</script>"));
}

#[test]
fn text_columns_are_aligned_and_numbers_stand_right() {
    let table = Table::new("Steps", ["rows", "who"]).row(["8", "two workers"]).row(["2,048", "one"]).note("measured");
    let wanted = "Steps\n rows  who\n-----  -----------\n    8  two workers\n2,048  one\nmeasured\n";
    assert_eq!(table.to_string(), wanted);
}

#[test]
fn a_data_frame_shows_its_shape_its_types_and_both_ends() {
    use polars::prelude::{DataFrame, NamedFrom, Series};
    let column = |name: &str, count: i32| Series::new(name.into(), (0..count).collect::<Vec<i32>>()).into();
    let long = DataFrame::new(40, vec![column("lane", 40), column("cars", 40)]).unwrap();
    let text = Table::from(&long).to_string();
    assert!(text.starts_with("40 rows, 2 columns"), "{text}");
    assert!(text.contains("lane (i32)") && text.contains("39") && !text.contains("20"), "{text}");
    assert_eq!(Table::from(&long).len(), 11);
    let wide = DataFrame::new(3, (0..30).map(|at| column(&format!("c{at}"), 3)).collect()).unwrap();
    let text = Table::from(&wide).to_string();
    assert!(text.contains("c4 (i32)") && text.contains("c29 (i32)") && !text.contains("c15"), "{text}");
    assert!(text.contains('…'), "{text}");
}

#[test]
fn rows_of_other_lengths_lose_nothing() {
    let table = Table::new("t", ["a", "b"]).row(["1"]).row(["2", "3", "4"]);
    assert_eq!(table.len(), 2);
    assert!(table.to_string().contains('4') && table.html().contains(">4</td>"));
    assert_eq!(table.html().matches("<td").count(), 6);
}

#[test]
fn a_table_offers_text_and_html_and_survives_serde() {
    let table = Table::new("t", ["a"]).row(["1"]);
    let bundle = table.bundle();
    assert!(bundle.get("text/plain").is_some() && bundle.get("text/html").is_some());
    let again: Table = serde_json::from_value(serde_json::to_value(&table).unwrap()).unwrap();
    assert_eq!(again, table);
}

#[test]
fn numbers_have_three_digits_that_a_reader_can_use() {
    for (value, shown) in [
        (0.0, "0"),
        (8.0, "8"),
        (1.25, "1.25"),
        (12.44, "12.4"),
        (786.4, "786"),
        (999.7, "1,000"),
        (12_345.0, "12,300"),
        (-1_234_567.0, "-1,230,000"),
        (0.012_34, "0.0123"),
        (4.2e-7, "4.20e-7"),
        (3.0e12, "3.00e12"),
        (f64::INFINITY, "infinite"),
        (f64::NAN, "unknown"),
    ] {
        assert_eq!(significant(value), shown);
    }
}

#[test]
fn chosen_numbers_are_shown_as_they_were_chosen() {
    for (value, shown) in
        [(2048.0, "2,048"), (7.2, "7.2"), (3.0 * 0.2, "0.6"), (0.0, "0"), (1e-6, "1.00e-6"), (65_536.0, "65,536")]
    {
        assert_eq!(chosen(value), shown);
    }
}
