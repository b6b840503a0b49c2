"""Times the means of groups of rows by onramp and by DuckDB in turn; prints seconds and memory as JSON.

Usage: aggregate.py WORKER FILE THREADS REPEATS. Needs a Python that has DuckDB. WORKER is the program onramp-worker, FILE a
Parquet file with the columns x0 to x7 and label. Each time is taken in a fresh process.
"""

import json
import os
import subprocess
import sys
import threading
import time

COLUMNS = [f"x{index}" for index in range(8)]


class OwnMemory(threading.Thread):
    """Looks every millisecond at the memory that this process has for itself, in bytes, without mapped files: as onramp does."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.wanted = 0, True
        self.start()

    def run(self):
        page = os.sysconf("SC_PAGE_SIZE")
        while self.wanted:
            with open("/proc/self/statm") as statm:
                resident, shared = map(int, statm.read().split()[1:3])
            self.most = max(self.most, page * (resident - shared))
            time.sleep(1e-3)


def duckdb_here(path, threads):
    """Seconds, the most memory of this process in bytes, and the groups' means."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}")
    means = ", ".join(f"avg({column})" for column in COLUMNS)
    memory = OwnMemory()
    start = time.perf_counter()
    query = "SELECT label, count(*), " + means + " FROM read_parquet(?) GROUP BY label ORDER BY label"
    groups = connection.execute(query, [path]).fetchall()
    seconds = time.perf_counter() - start
    memory.wanted = False
    memory.join()
    return {"version": duckdb.__version__, "seconds": seconds, "memory": memory.most, "groups": groups}


def in_process(command, text=None, **variables):
    done = subprocess.run(command, input=text, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed: {done.stderr}")
    return json.loads(done.stdout)


def onramp(worker, path, threads):
    scan = {"path": path, "reading": "streaming", "filter": None, "by": "label", "mean_of": COLUMNS, "rank": 0, "world_size": 1}
    run = in_process([worker], json.dumps({"scan": scan}), POLARS_MAX_THREADS=threads)["scan"]
    groups = [[group["key"], group["rows"], *group["means"]] for group in run["groups"]]
    return {"seconds": run["seconds"], "memory": run["peak_memory_bytes"], "groups": groups}


def agree(ours, theirs):
    close = lambda a, b: abs(a - b) <= 1e-4 * (1 + abs(b))
    return len(ours) == len(theirs) and all(close(a, b) for one, other in zip(ours, theirs) for a, b in zip(one, other))


def main():
    if sys.argv[1] == "--duckdb":
        json.dump(duckdb_here(*sys.argv[2:]), sys.stdout)
        return
    worker, path, threads, repeats = sys.argv[1:]
    runs = {"onramp": [], "duckdb": []}
    for repeat in range(int(repeats) + 1):
        ours = onramp(worker, path, threads)
        theirs = in_process([sys.executable, __file__, "--duckdb", path, threads])
        if not agree(ours["groups"], theirs["groups"]):
            sys.exit(f"the means differ: {ours['groups']} and {theirs['groups']}")
        # The first round brings the file into memory.
        if repeat > 0:
            runs["onramp"].append(ours)
            runs["duckdb"].append(theirs)
    answer = {"version": theirs["version"]}
    for name, samples in runs.items():
        answer[name] = [sample["seconds"] for sample in samples]
        answer[f"{name}_memory"] = [sample["memory"] for sample in samples]
    json.dump(answer, sys.stdout)


main()
