"""Tables beyond the disk: in an object store of another make, and as polars describes them; with the examples of the document."""

import json
import re
import subprocess
import sys
import urllib.request

import boto3
import pytest

from conftest import ROOT
from talk import printed, run

ONRAMP = ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;\n'
EXAMPLES = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs" / "storage.md").read_text(), re.DOTALL)
IN_PYTHON = [code for language, code in EXAMPLES if language == "python"]
IN_CELLS = [code for language, code in EXAMPLES if language == "rust"]

# What is asked of the table in the store, and of the same one on the disk.
QUESTIONS = r"""
use onramp::storage::ScanRun;
fn at(url: &str) -> Scan {
    let scan = Scan::new(url).store_option("aws_endpoint_url", "ENDPOINT");
    scan.store_option("aws_access_key_id", "k").store_option("aws_secret_access_key", "s")
}
fn same(there: ScanRun, here: ScanRun) {
    assert_eq!((there.groups.len(), there.shared_by), (here.groups.len(), here.shared_by));
    for (a, b) in there.groups.iter().zip(&here.groups) {
        assert_eq!((a.key, a.rows), (b.key, b.rows));
        assert!(a.means.iter().zip(&b.means).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?}, {b:?}");
    }
    println!("{} rows", there.rows());
}
let questions: [fn(Scan) -> Scan; 4] = [
    |scan| scan.by("label").mean_of(["x0", "x2"]),
    |scan| scan.by("label").mean_of(["x0"]).filter("x1", -0.5, 0.5).reading(Reading::Eager),
    |scan| scan.mean_of(["x0"]).shard(1, 3),
    |scan| scan.mean_of(["x0"]).shard(2, 3).shard_by(ShardBy::RowGroups),
];
same(EXAMPLE, Scan::new("FOLDER").by("label").mean_of(["x0"]).run()?);
for question in questions {
    for url in ["s3://course/rows/", "s3://course/rows/part=*/rows.parquet"] {
        same(question(at(url)).run()?, question(Scan::new("FOLDER")).run()?);
    }
}
"""


def cell(kernel, code):
    """What a cell that succeeds has printed."""
    reply, messages = run(kernel, ONRAMP + code)
    assert reply["status"] == "ok", reply["evalue"]
    return printed(messages)


def refusal(kernel, url, endpoint, key="k", secret="s"):
    """How a scan of this URL fails."""
    options = {"aws_endpoint_url": endpoint, "aws_access_key_id": key, "aws_secret_access_key": secret}
    given = "".join(f'.store_option("{name}", "{value}")' for name, value in options.items())
    reply, _ = run(kernel, f'{ONRAMP}Scan::new("{url}"){given}.run()?')
    assert reply["status"] == "error", reply
    return reply["evalue"]


@pytest.fixture
def endpoint():
    """Where a store answers that was started for one test."""
    command = [sys.executable, "-m", "moto.server", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            yield next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in server.stderr)))[0]
        finally:
            server.kill()


def test_a_table_in_a_store_is_read_like_the_one_on_the_disk(kernel, endpoint, tmp_path):
    folder = tmp_path / "rows"
    layout = "Layout::Partitioned { rows_per_file: 4096 }"
    cell(kernel, f'Store::write("{folder}", Teacher::new(20_000).columns(4), {layout})?;')
    (upload,), example = IN_PYTHON, IN_CELLS[0]
    command = [sys.executable, "-c", upload.replace("http://127.0.0.1:5055", endpoint)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    questions = QUESTIONS.replace("EXAMPLE", example.replace("http://127.0.0.1:5055", "ENDPOINT"))
    answers = cell(kernel, questions.replace("ENDPOINT", endpoint).replace("FOLDER", str(folder))).split("\n")
    whole, filtered, of_files, of_row_groups = answers[1:-1:2]
    assert answers[2:-1:2] == [whole, filtered, of_files, of_row_groups], "a folder and its pattern differ"
    assert (answers[0], whole, of_files) == ("20000 rows", "20000 rows", "7712 rows")
    assert filtered not in (whole, "0 rows")

    for url in ("s3://course/none.parquet", "s3://course/rows/part=7/rows.parquet"):
        assert f"{url} is missing at {endpoint}" in refusal(kernel, url, endpoint)
    assert "s3://course/none/ holds no .parquet files" in refusal(kernel, "s3://course/none/", endpoint)
    assert "s3://none/rows/ lies in a bucket that does not exist" in refusal(kernel, "s3://none/rows/", endpoint)
    client = {"endpoint_url": endpoint, "aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    boto3.client("s3", **client).delete_object(Bucket="course", Key="rows/part=1/rows.parquet")
    missing = refusal(kernel, "s3://course/rows/", endpoint)
    assert "s3://course/rows/part=1/rows.parquet is missing (1 of 5 files" in missing

    # From here on the store looks at keys and signatures.
    iam = boto3.client("iam", **client)
    iam.create_user(UserName="learner")
    may_read = {"Effect": "Allow", "Action": ["s3:List*", "s3:Get*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may_read]})
    iam.put_user_policy(UserName="learner", PolicyName="reader", PolicyDocument=policy)
    key = iam.create_access_key(UserName="learner")["AccessKey"]
    strict = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    urllib.request.urlopen(strict, timeout=10).close()
    url = "s3://course/rows/part=0/rows.parquet"
    for wrong in [("k", "s"), (key["AccessKeyId"], "s")]:
        assert f"{url} may not be read with these credentials; {endpoint} refused" in refusal(kernel, url, endpoint, *wrong)
    known = f'.store_option("aws_access_key_id", "{key["AccessKeyId"]}")'
    known += f'.store_option("aws_secret_access_key", "{key["SecretAccessKey"]}")'
    read = f'Scan::new("{url}").store_option("aws_endpoint_url", "{endpoint}"){known}.run()?.rows()'
    assert cell(kernel, f'println!("{{}}", {read});') == "4096\n"


def test_a_cell_describes_a_table_with_polars(kernel, tmp_path):
    (tmp_path / "cars.csv").write_text("lane;seconds\n1;2.0\n1;4.0\n2;5.0\n")
    described, in_a_fresh_process = (code.replace('"cars.', f'"{tmp_path}/cars.') for code in IN_CELLS[1:])
    means = '.groups.iter().for_each(|group| println!("{} {} {}", group.key, group.rows, group.means[0]));'
    assert cell(kernel, described.rstrip() + means) == "80 1 5\n100 2 3\n"
    outcome = f"match {{ {in_a_fresh_process} }} {{ Outcome::Scan(run) => run{means[:-1]}, _ => panic!() }}"
    assert cell(kernel, outcome) == "80 1 5\n100 2 3\n"
