"""The kernel speaks Jupyter's protocol: the checks of jupyter_kernel_test, and what Onramp promises beyond them."""

import re
import time

import jupyter_kernel_test
import pytest
from jupyter_client.manager import start_new_kernel

from conftest import CELL_SECONDS, KERNEL, NOTEBOOKS
from talk import of_type, printed, reply_to, run

PLAIN_DISPLAY = r'println!("EVCXR_BEGIN_CONTENT text/html\n<b>%s</b>\nEVCXR_END_CONTENT");'
CLEAR = r'println!("EVCXR_BEGIN_CONTENT application/vnd.onramp.clear+json\n{{}}\nEVCXR_END_CONTENT");'
BUNDLE_DISPLAY = (
    r'println!("EVCXR_BEGIN_CONTENT application/vnd.onramp.bundle+json\n'
    r'{{\"data\":{{\"text/plain\":\"%s\",\"application/json\":{{\"a\":1}}}},\"metadata\":{{}}}}\nEVCXR_END_CONTENT");'
)


class ProtocolTests(jupyter_kernel_test.KernelTests):
    """The standard checks, which also validate every message against the protocol's schema."""

    kernel_name = KERNEL
    language_name = "rust"
    file_extension = ".rs"
    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("oops");'
    code_execute_result = [{"code": "1 + 2", "result": "3"}]
    code_display_data = [
        {"code": PLAIN_DISPLAY % "bold", "mime": "text/html"},
        {"code": BUNDLE_DISPLAY % "bundle", "mime": "application/json"},
    ]
    code_generate_error = 'panic!("as asked");'

    code_clear_output = CLEAR
    code_page_something = ":help"
    code_inspect_sample = "String::from"
    code_history_pattern = "1 ? 2*"
    supported_history_operations = ("tail", "range", "search")
    completion_samples = [
        {"text": "let text = String::new(); text.is_char_b", "matches": ["is_char_boundary"]},
        {"text": ":offl", "matches": [":offline"]},
    ]
    complete_code_samples = ["1 + 1", "let x = 1;", "fn f() {}", ':dep serde = "1"', 'r#"a " b"#']
    incomplete_code_samples = ["fn f() {", "println!(", 'let text = "a', "1 +", "/* a"]
    invalid_code_samples = ["fn f() )", "let = 2;"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The checks allow 15 s for a cell, which the warm-up of a fresh kernel may need for itself.
        cls.kc.execute_interactive("let ready = 1;", timeout=CELL_SECONDS)


def test_the_first_cell_is_number_one_and_kernel_info_does_not_wait_for_the_warm_up():
    started = time.monotonic()
    manager, client = start_new_kernel(kernel_name=KERNEL, startup_timeout=60, cwd=str(NOTEBOOKS))
    # start_new_kernel returns once kernel_info was answered.
    info_seconds = time.monotonic() - started
    try:
        reply, _ = run(client, "let first = 41 + 1;")
        first_cell_seconds = time.monotonic() - started
        assert (reply["status"], reply["execution_count"]) == ("ok", 1)
        assert info_seconds < first_cell_seconds / 2, "kernel_info waited for the warm-up"
        assert run(client, "first")[0]["execution_count"] == 2
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def test_two_displays_of_one_cell_arrive_in_order_while_it_runs(kernel):
    pause = "std::thread::sleep(std::time::Duration::from_secs(2));"
    reply, messages = run(kernel, "\n".join([PLAIN_DISPLAY % "one", pause, BUNDLE_DISPLAY % "two"]))
    assert reply["status"] == "ok"
    shown = of_type(messages, "display_data")
    assert len(shown) == 2, messages
    (early, first), (late, second) = shown
    assert first["data"]["text/html"] == "<b>one</b>"
    assert second["data"] == {"text/plain": "two", "application/json": {"a": 1}}
    assert late - early > 1, "the first display waited for the end of the cell"


def test_text_between_displays_keeps_its_place(kernel):
    code = 'print!("before"); ' + PLAIN_DISPLAY % "shown" + ' println!("after");'
    _, messages = run(kernel, code.replace('println!("EVCXR', 'println!();println!("EVCXR'))
    kinds = [
        "display" if message["msg_type"] == "display_data" else message["content"]["text"].strip()
        for _, message in messages
        if message["msg_type"] in ("stream", "display_data")
    ]
    assert [kind for kind in kinds if kind] == ["before", "display", "after"]


def test_text_without_a_newline_is_shown_while_the_cell_runs(kernel):
    pause = "std::thread::sleep(std::time::Duration::from_secs(2));"
    _, messages = run(kernel, f'print!("half"); {pause} println!(" whole");')
    streams = of_type(messages, "stream")
    assert printed(messages) == "half whole\n"
    assert streams[-1][0] - streams[0][0] > 1, "the text waited for the end of its line"


def test_a_compile_error_has_rustc_s_message_span_and_help(kernel):
    reply, messages = run(kernel, 'let lanes: usize = "four";')
    assert (reply["status"], reply["ename"]) == ("error", "E0308")
    ((_, error),) = of_type(messages, "error")
    traceback = "\n".join(error["traceback"])
    assert "mismatched types" in traceback
    assert '"four"' in traceback, "the span does not show the learner's own line"
    assert "onramp-" not in traceback and "/src/lib.rs" not in traceback, "the error speaks of files of ours"


ADVICE = {
    "let cars = vec![1, 2]; let first = &cars;": "`first` borrows from another variable",
    "let double = |x: i32| 2 * x;": "Write a function, `fn double(",
    "let halves = vec![2, 4].into_iter().map(|x| x / 2);": ".collect::<Vec<_>>()",
    "for lane in 0..3 { lane;": "this `{` is never closed",
    "use std::collection::HashMap;": "1 | use std::collection::HashMap;",
}


@pytest.mark.parametrize("code", ADVICE)
def test_a_beginner_s_mistake_is_told_in_plain_words(kernel, code):
    reply, _ = run(kernel, code)
    assert reply["status"] == "error"
    told = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(reply["traceback"]))
    assert ADVICE[code] in told
    assert "evcxr" not in told


def test_a_failure_s_traceback_has_only_the_learner_s_frames(kernel):
    run(kernel, "fn inner() { panic!(\"deep\"); }")
    reply, messages = run(kernel, "inner();")
    assert (reply["status"], reply["ename"], reply["evalue"]) == ("error", "Panic", "deep")
    traceback = "\n".join(of_type(messages, "error")[0][1]["traceback"])
    assert "deep" in traceback
    assert "evcxr" not in traceback and "rust_begin_unwind" not in traceback


ENDINGS = {
    'panic!("no");': "Panic",
    '"x".parse::<usize>()?;': "UserError",
    "std::process::exit(3);": "ProcessExit",
    "std::process::abort();": "ProcessCrash",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_queued_cells_are_aborted_after_a_failure_and_the_next_one_runs(kernel, ending):
    sent = [kernel.execute(f"std::thread::sleep(std::time::Duration::from_millis(300)); {ending}")]
    sent += [kernel.execute('println!("must not run");') for _ in range(2)]
    replies = {}
    while len(replies) < len(sent):
        message = kernel.get_shell_msg(timeout=CELL_SECONDS)
        replies[message["parent_header"]["msg_id"]] = message["content"]
    failure, *queued = [replies[identifier] for identifier in sent]
    assert (failure["status"], failure["ename"]) == ("error", ENDINGS[ending])
    assert [content["status"] for content in queued] == ["aborted", "aborted"]
    reply, messages = run(kernel, 'println!("alive");')
    assert reply["status"] == "ok" and printed(messages) == "alive\n"


def test_an_error_keeps_the_variables_of_earlier_cells(kernel):
    run(kernel, "let kept = vec![1, 2, 3];")
    assert run(kernel, 'let n: usize = "x".parse::<usize>()?;')[0]["ename"] == "UserError"
    assert run(kernel, 'panic!("again");')[0]["ename"] == "Panic"
    reply, messages = run(kernel, 'println!("{}", kept.len());')
    assert reply["status"] == "ok" and printed(messages) == "3\n"


def test_a_restart_forgets_the_variables_and_counts_from_one():
    manager, client = start_new_kernel(kernel_name=KERNEL, startup_timeout=60, cwd=str(NOTEBOOKS))
    try:
        assert run(client, "let before = 1;")[0]["status"] == "ok"
        manager.restart_kernel(now=False)
        client.wait_for_ready(timeout=60)
        reply, _ = run(client, "let after = 2;")
        assert (reply["status"], reply["execution_count"]) == ("ok", 1)
        assert run(client, "before")[0]["status"] == "error"
        ((_, variables),) = of_type(run(client, ":vars")[1], "execute_result")
        assert "after" in variables["data"]["text/plain"] and "warm_up" not in variables["data"]["text/plain"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def test_a_level_of_optimisation_holds_for_the_cell_that_asks_for_it(kernel):
    loop = """let started = std::time::Instant::now();
let sum = (0..std::hint::black_box(3_000_000_u64)).fold(0_u64, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
println!("{} {}", std::hint::black_box(sum), started.elapsed().as_micros());"""

    def microseconds(first_line):
        _, messages = run(kernel, f"{first_line}\n{loop}")
        return int(printed(messages).split()[1])

    # At level 0 the closure is called three million times, at any other it is gone.
    assert microseconds(":opt 0") > 3 * microseconds("")
    assert microseconds(":opt 0") > 3 * microseconds(":opt 3")


def test_a_level_that_does_not_exist_is_named(kernel):
    reply, _ = run(kernel, ":opt 7\nlet lanes = 4;")
    assert reply["status"] == "error" and "7" in reply["evalue"], reply
