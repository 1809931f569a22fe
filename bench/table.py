#!/usr/bin/env python3
"""Raw numbers of bench/runs, and the README's table made from them.

table.py line COMMIT COMMAND        the JSON on stdin, as a line of a part's file
table.py machine                    the machine, without its name
table.py port                       a free port whose successor is free too
table.py readme FOLDER README       puts the table of a run's folder between the README's marks
"""
import json
import os
import pathlib
import socket
import statistics
import sys

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def line(commit, command):
    print(json.dumps({"commit": commit, "command": command, "result": json.loads(sys.stdin.read())}))


def machine():
    def field(file, name):
        for text in open(f"/proc/{file}"):
            key, _, value = text.partition(":")
            if key.strip() == name:
                return value.strip()
        return ""

    memory = int(field("meminfo", "MemTotal").split()[0]) / 1e6
    print(json.dumps({"cpu": field("cpuinfo", "model name"), "cores": os.cpu_count(), "memory_gb": round(memory, 1),
                      "kernel": os.uname().release, "load_before": os.getloadavg()[0]}))


def port():
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            number = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", number + 1))
                return print(number)
            except OSError:
                continue


def readme(folder, file):
    folder, file = pathlib.Path(folder), pathlib.Path(file)
    text = file.read_text()
    before, _, rest = text.partition(BEGIN)
    if not rest:
        sys.exit(f"{file} has no line '{BEGIN}'")
    after = rest.partition(END)[2]
    file.write_text(f"{before}{BEGIN}\n{table(folder)}{END}{after}")


def table(folder):
    parts = {path.stem: [json.loads(text) for text in path.read_text().splitlines()]
             for path in sorted(folder.glob("*.json")) if path.stem != "machine"}
    host = json.loads((folder / "machine.json").read_text())
    commits = sorted({entry["commit"] for entries in parts.values() for entry in entries})
    rows = [row for make in (replays, scaling, views, paced, kafka, peers) for row in make(parts)]
    lines = ["| what | load | measured |", "|---|---|---|"] + [f"| {' | '.join(row)} |" for row in rows]
    where = (f"{host['cpu']}, {host['cores']} cores, {host['memory_gb']} GB, Linux {host['kernel']}; commit "
             f"{', '.join(commits)}; raw numbers and commands in `bench/runs/{folder.name}`.")
    return "\n".join(lines + ["", where, ""])


def runs(parts, *names):
    return [run for name in names for entry in parts.get(name, []) for run in entry["result"]["runs"]]


def groups(all_runs, *keys):
    """Runs by what they have in common; fields as `run.load.users`."""
    def value(run, key):
        for name in key.split("."):
            run = run[name]
        return run

    found = {}
    for run in all_runs:
        found.setdefault(tuple(value(run, key) for key in keys), []).append(run)
    return found.items()


def median(group, field):
    return statistics.median(run[field] for run in group)


def load(run):
    clicks, users = run["run"]["load"]["clicks"], run["run"]["load"]["users"]
    return f"{clicks / 1e6:g} M clicks, {users:,} users"


def windows(run):
    kept = run["run"]["retention"]
    return f", {kept // 60} minutes of windows" if kept else ""


def millions(n):
    return f"{n / 1e6:.2f} M"


def replays(parts):
    for (_, changes, _), group in groups(runs(parts, "demo", "large", "changes", "retention"),
                                         "run.load.users", "run.changes", "run.retention"):
        kept = group[0]["run"]["retention"]
        what = ("every change followed" if changes else "seven tables kept") + windows(group[0])
        slope = group[0]["rss_slope"]
        memory = f"{median(group, 'rss_mb'):,.0f} MB" + (f", {slope:+.1f} MB a million clicks at the end" if kept and slope is not None else "")
        yield (f"files, {what}", load(group[0]), f"{millions(median(group, 'clicks_per_cpu_s'))} clicks a CPU second, "
               f"{millions(median(group, 'clicks_per_s'))} clicks/s, {memory}")


def scaling(parts):
    for name, field in (("workers", "workers"), ("processes", "processes")):
        for _, group in groups(runs(parts, name), "run.load.users", "run.retention"):
            one = [run for run in group if run["run"][field] == 1]
            two = [run for run in group if run["run"][field] == 2]
            if not one or not two:
                continue
            factor = median(two, "clicks_per_s") / median(one, "clicks_per_s")
            text = f"{factor:.2f} × one by wall time ({millions(median(two, 'clicks_per_s'))} clicks/s)"
            if field == "processes":
                text += f", {median(two, 'exchanged_bytes_per_click'):.1f} bytes exchanged a click"
            yield f"two {name}{windows(two[0])}", load(two[0]), text


def views(parts):
    curve = [(count, median(group, "cpu_s_per_million"), group) for (count,), group in groups(runs(parts, "views"), "run.views")]
    if curve:
        text = ", ".join(f"{count}: {cost:.2f}" for count, cost, _ in curve)
        yield "CPU seconds a million clicks by number of views", load(curve[0][2][0]), text


def paced(parts):
    for run in runs(parts, "freshness"):
        followed = ", every change followed" if run["run"]["changes"] else ""
        workers = f", {run['run']['workers']} workers" if run["run"]["workers"] > 1 else ""
        fresh, peek = run["freshness_ms"], run["peek_ms"]
        epochs = f"epochs of {run['run']['epoch_ms']} ms"
        yield (f"{run['run']['rate']:,} clicks/s offered, {epochs}{workers}{followed}", load(run),
               f"freshness p50 {fresh['p50']:.0f}, p99 {fresh['p99']:.0f} ms; point query p50 {peek['p50']:.1f}, "
               f"p99 {peek['p99']:.1f} ms")


def kafka(parts):
    for _, group in groups(runs(parts, "kafka"), "run.load.users"):
        threads = group[0]["cpu_by_thread"]
        share = threads.get("kafka", 0) / max(sum(threads.values()), 1e-9)
        yield ("through Kafka, 4 partitions", load(group[0]), f"{millions(median(group, 'clicks_per_s'))} clicks/s, "
               f"{millions(median(group, 'clicks_per_cpu_s'))} a CPU second; the client's threads take {share:.0%} of it")


NAMES = {"duckdb": "DuckDB 2.0.0, a batch that keeps nothing fresh", "flink": "Flink SQL 2.3.0",
         "kstreams": "Kafka Streams 4.3.1, one broker for both", "pathway": "Pathway 0.33.0"}


def peers(parts):
    for name, title in NAMES.items():
        for entry in parts.get(name, []):
            result = entry["result"]
            theirs = statistics.median(r[name]["cpu_s"] * 1e6 / r[name]["events"] for r in result["rounds"])
            ours = statistics.median(r["weir"]["cpu_s"] * 1e6 / r["weir"]["events"] for r in result["rounds"])
            same = {True: "rows the same", False: "rows DIFFER", None: "rows not compared"}[result["rows_same"]]
            files = f" (from the files × {result['ratio_cpu_files']:g})" if "ratio_cpu_files" in result else ""
            yield (f"{title}, {result['threads']} thread", f"{result['clicks'] / 1e6:g} M clicks, {result['keys']} keys",
                   f"weir × {result['ratio_cpu']:g} by CPU second ({ours:.2f} against {theirs:.2f} CPU s a million){files}, "
                   f"× {result['ratio_wall']:g} by wall time; {same}")


if __name__ == "__main__":
    commands = {"line": line, "machine": machine, "port": port, "readme": readme}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
