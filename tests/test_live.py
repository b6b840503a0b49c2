"""What a cell shows while it runs."""

import json

import nbformat

from conftest import ROOT, nbconvert, notebook
from talk import of_type, printed, run

ONRAMP = ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;\n'
SLEEP = "std::thread::sleep(std::time::Duration::from_millis(%d));"


def test_a_display_is_updated_in_place(kernel):
    code = ONRAMP + f'let mut shown = display("one"); {SLEEP % 800} shown.update("two");'
    _, messages = run(kernel, code)
    ((first, display),) = of_type(messages, "display_data")
    ((second, update),) = of_type(messages, "update_display_data")
    assert second - first > 0.5, "the first one waited for the cell's end"
    assert (display["data"]["text/plain"], update["data"]["text/plain"]) == ("one", "two")
    assert display["transient"]["display_id"] == update["transient"]["display_id"]


def test_a_later_cell_can_update_what_an_earlier_one_showed(kernel):
    _, messages = run(kernel, ONRAMP + 'let mut shown = display("before");')
    identifier = of_type(messages, "display_data")[0][1]["transient"]["display_id"]
    _, messages = run(kernel, 'shown.update("after");')
    ((_, update),) = of_type(messages, "update_display_data")
    assert (update["transient"]["display_id"], update["data"]["text/plain"]) == (identifier, "after")


def test_clear_output_comes_between_what_was_and_what_follows(kernel):
    _, messages = run(kernel, ONRAMP + 'println!("old"); clear_output(true); println!("new");')
    kinds = [message["msg_type"] for _, message in messages if message["msg_type"] in ("stream", "clear_output")]
    assert kinds == ["stream", "clear_output", "stream"]
    assert of_type(messages, "clear_output")[0][1] == {"wait": True}


def test_a_carriage_return_arrives_as_it_is_written(kernel):
    _, messages = run(kernel, f'for step in 1..=3 {{ print!("\\rstep {{step}}"); {SLEEP % 300} }}')
    assert printed(messages) == "\rstep 1\rstep 2\rstep 3"
    times = [seconds for seconds, _ in of_type(messages, "stream")]
    assert times[-1] - times[0] > 0.4


def test_a_loop_with_progress_shows_rate_and_remaining_time_and_ends_as_one_line(kernel):
    _, messages = run(kernel, ONRAMP + f'for _ in progress("counting", 0..20) {{ {SLEEP % 60} }}')
    assert len(of_type(messages, "display_data")) == 1
    updates = [content["data"] for _, content in of_type(messages, "update_display_data")]
    assert "of 20" in updates[0]["text/plain"] and "s left" in updates[0]["text/plain"]
    assert "<progress" in updates[0]["text/html"] and "<progress" not in updates[-1]["text/html"]
    assert updates[-1]["text/plain"].startswith("counting: 20 of 20, ")


def test_a_short_loop_shows_no_progress(kernel):
    _, messages = run(kernel, ONRAMP + 'for _ in progress("counting", 0..20) {}')
    assert not of_type(messages, "display_data")


def test_a_training_shows_its_losses_while_it_runs(kernel):
    code = ONRAMP + "let run = Training::new(Mlp::new(256)).steps(3000).rows_per_step(256).run()?;"
    _, messages = run(kernel, code)
    updates = [content["data"] for _, content in of_type(messages, "update_display_data")]
    assert any("<svg" in data["text/html"] and "loss" in data["text/plain"] for data in updates)
    assert "<svg" not in updates[-1]["text/html"]


def test_a_sweep_shows_its_points_one_by_one(kernel):
    experiment = "DataParallel::new(Mlp::new(256)).rows_per_worker([32, 128, 512, 2048, 8192])"
    code = ONRAMP + f'let guess = predict("how many times?", times(4.0))?; let run = {experiment}.run(&guess)?;'
    _, messages = run(kernel, code)
    shown = of_type(messages, "display_data")[:1] + of_type(messages, "update_display_data")
    *pages, last = [content["data"]["text/html"] for _, content in shown]
    assert "8 workers, replayed" in pages[-1] and "<svg" not in last
    points = [page.count("<circle") + page.count("<path") for page in pages]
    assert points == sorted(points) and points[0] < points[-1], points


def test_nbconvert_keeps_only_the_final_state(tmp_path):
    path = tmp_path / "live.ipynb"
    library = json.dumps(str(ROOT / "helpers"))
    first = f":dep onramp = {{ path = {library} }}\nuse onramp::prelude::*;"
    loop = f'for _ in progress("counting", 0..20) {{ {SLEEP % 60} }}'
    nbformat.write(notebook(first, loop), path)
    process, executed = nbconvert(path, tmp_path / "executed")
    assert process.returncode == 0, process.stderr
    (output,) = nbformat.read(executed, as_version=4).cells[1].outputs
    assert output.data["text/plain"].startswith("counting: 20 of 20, ")


def test_a_cell_can_ask_how_long_it_took(kernel):
    _, messages = run(kernel, f":time\n{SLEEP % 200}")
    ((_, content),) = of_type(messages, "display_data")
    text = content["data"]["text/plain"]
    assert text.startswith("compiled in 0.") and "ran in 20" in text and "peak memory" in text
