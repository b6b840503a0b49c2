"""Everything but running a cell: completion and inspection, also while a cell runs, history, comms, input."""

import time

import pytest

from talk import await_output, of_type, printed, reply_to, run

ONRAMP = ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;\n'


def complete(kernel, code, cursor=None):
    return reply_to(kernel, kernel.complete(code, cursor))


def test_completion_knows_earlier_cells_and_counts_characters(kernel):
    run(kernel, "struct Lorry { axles: u8 }\nlet lorry = Lorry { axles: 3 };")
    code = 'let é = "é"; lorry.ax'
    reply = complete(kernel, code)
    assert reply["matches"] == ["axles"]
    assert code[reply["cursor_start"] : reply["cursor_end"]] == "ax"
    kinds = reply["metadata"]["_jupyter_types_experimental"]
    assert kinds[0]["text"] == "axles" and kinds[0]["type"]


def test_inspection_shows_type_and_documentation(kernel):
    run(kernel, "fn haul(tonnes: f64) -> f64 { tonnes }")
    for code, cursor in [("haul(1.0)", 2), ("haul(", 5), ("let load = haul(2.0", 19)]:
        reply = reply_to(kernel, kernel.inspect(code, cursor))
        assert reply["found"], code
        assert "fn haul(tonnes: f64) -> f64" in reply["data"]["text/plain"]
    reply = reply_to(kernel, kernel.inspect("String::with_capacity(8)", 12))
    assert "at least the specified capacity" in reply["data"]["text/html"]
    assert not reply_to(kernel, kernel.inspect("no_such_thing", 3))["found"]


def test_both_answer_while_a_cell_runs(kernel, manager):
    run(kernel, ONRAMP + "struct Van { seats: u8 }\nlet van = Van { seats: 2 };\nlet guess = rows(5.0);")
    identifier = kernel.execute('println!("started"); std::thread::sleep(std::time::Duration::from_secs(60));')
    await_output(kernel, identifier)
    try:
        started = time.monotonic()
        assert complete(kernel, "van.se")["matches"] == ["seats"]
        assert "DataParallel" in complete(kernel, "DataPar")["matches"]
        reply = reply_to(kernel, kernel.inspect("van", 3))
        assert reply["found"] and "Van" in reply["data"]["text/plain"]
        assert time.monotonic() - started < 50, "the questions waited for the cell"
    finally:
        manager.interrupt_kernel()
        manager.interrupt_kernel()
        reply_to(kernel, identifier)


def test_history_is_found_by_pattern(kernel):
    run(kernel, "let tollgate = 1;")
    identifier = kernel.history(hist_access_type="search", pattern="*toll*", raw=True, output=False)
    history = reply_to(kernel, identifier)["history"]
    assert history[-1][2] == "let tollgate = 1;"


def test_a_comm_that_no_cell_serves_is_closed(kernel):
    message = kernel.session.msg("comm_open", {"comm_id": "lane", "target_name": "nobody", "data": {}})
    kernel.shell_channel.send(message)
    closed = await_output(kernel, message["header"]["msg_id"], "comm_close")
    assert closed["comm_id"] == "lane"
    message = kernel.session.msg("comm_info_request", {})
    kernel.shell_channel.send(message)
    assert reply_to(kernel, message["header"]["msg_id"])["comms"] == {}


ASK = r'''
fn ask(kind: &str) -> String {
    println!("EVCXR_INPUT_REQUEST{kind}:How many lanes? ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}
'''


@pytest.mark.parametrize("kind, password", [("", False), ("_PASSWORD", True)])
def test_a_cell_can_ask_for_input(kernel, kind, password):
    run(kernel, ASK)
    asked = []

    def answer(message):
        asked.append(message["content"])
        kernel.input("four")

    _, messages = run(kernel, f'println!("{{}} lanes", ask("{kind}"));', allow_stdin=True, stdin_hook=answer)
    assert printed(messages) == "four lanes\n"
    assert asked == [{"prompt": "How many lanes? ", "password": password}]


def test_input_without_anybody_to_ask_is_an_error_and_does_not_hang(kernel):
    run(kernel, ASK)
    reply, _ = run(kernel, 'let lanes = ask("");', allow_stdin=False)
    assert (reply["status"], reply["ename"]) == ("error", "StdinNotImplementedError")


def test_a_silent_cell_publishes_no_result_and_does_not_count(kernel):
    count = run(kernel, "1")[0]["execution_count"]
    reply, messages = run(kernel, "2 + 2", silent=True)
    assert reply["status"] == "ok"
    assert not of_type(messages, "execute_input") and not of_type(messages, "execute_result")
    assert run(kernel, "1")[0]["execution_count"] == count + 1
    assert run(kernel, "1", store_history=False)[0]["execution_count"] == count + 1


def test_user_expressions_are_answered_with_an_error_each(kernel):
    reply, _ = run(kernel, "let lanes = 4;", user_expressions={"count": "lanes"})
    assert reply["status"] == "ok"
    assert reply["user_expressions"]["count"]["status"] == "error"


def test_cells_behind_a_failure_run_when_the_client_says_so(kernel):
    first = kernel.execute('panic!("a flat tyre");', stop_on_error=False)
    second = kernel.execute('println!("still drives");')
    assert reply_to(kernel, first)["status"] == "error"
    assert reply_to(kernel, second)["status"] == "ok"


def test_a_variable_that_was_moved_names_the_cell_that_took_it(kernel):
    run(kernel, "let cargo = vec![1, 2, 3];")
    count = run(kernel, "drop(cargo);")[0]["execution_count"]
    reply, messages = run(kernel, "cargo.len()")
    assert reply["ename"] == "E0425"
    assert f"cell {count} took the value of `cargo` away" in "\n".join(reply["traceback"])
