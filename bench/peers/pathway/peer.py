#!/usr/bin/env python3
"""Pathway over the files as a static input.   peer.py DATA THREADS [OUT]"""
import csv
import json
import os
import pathlib
import sys
import time

data, threads, *out = sys.argv[1:]
os.environ["PATHWAY_THREADS"] = threads
import pathway as pw  # noqa: E402: it reads the number of threads when it is imported
from pathway.stdlib.temporal import session, sliding, tumbling  # noqa: E402


class Click(pw.Schema):
    ts: int
    ip: str
    userid: int
    request: str
    status: str


class User(pw.Schema):
    user_id: int = pw.column_definition(primary_key=True)
    username: str
    city: str


class Code(pw.Schema):
    code: int = pw.column_definition(primary_key=True)
    definition: str


def read(name, schema):
    return pw.io.jsonlines.read(f"{data}/{name}.jsonl", schema=schema, mode="static")


def count(table, window, *key, more_than=0):
    """Counts rows by key and window."""
    if len(key) == 1:  # a column as instance is cheaper than a tuple
        grouped = table.windowby(table.ts, window=window, instance=table[key[0]])
        columns = {key[0]: pw.this._pw_instance}
    else:
        grouped = table.windowby(table.ts, window=window, instance=pw.make_tuple(*(table[k] for k in key)))
        columns = {k: pw.this._pw_instance[i] for i, k in enumerate(key)}
    rows = grouped.reduce(**columns, start=pw.this._pw_window_start, last=pw.this._pw_window_end, n=pw.reducers.count())
    return rows.filter(pw.this.n > more_than) if more_than else rows


clicks = read("clicks", Click).with_columns(status=pw.this.status.str.parse_int())
users, codes = read("users", User), read("codes", Code)
user_clicks = clicks.join(users, clicks.userid == users.user_id).select(clicks.ts, clicks.ip, users.username, users.city)
coded = clicks.join(codes, clicks.status == codes.code).select(clicks.ts, codes.code, codes.definition)
pages, errors = clicks.filter(pw.this.request.str.count("html") > 0), clicks.filter(pw.this.status > 400)
minute, steps, slow = tumbling(60_000), sliding(5_000, 60_000), sliding(20_000, 60_000)
tables = {
    "events_per_min": count(clicks, minute, "userid").without("last"),
    "pages_per_min": count(pages, steps, "userid").without("last"),
    # A gap of exactly 30 s still belongs to the session; max_gap is exclusive.
    "click_user_sessions": count(user_clicks, session(max_gap=30_001), "username"),
    "errors_per_min_alert": count(errors, slow, "status", more_than=5).without("last"),
    "errors_per_min": count(errors, steps, "status").without("last"),
    "enriched_error_codes_count": count(coded, tumbling(30_000), "code", "definition", more_than=1).without("last"),
    "user_ip_activity": count(user_clicks, minute, "username", "ip", "city", more_than=1).without("last"),
}
for name, table in tables.items():
    if out:
        pathlib.Path(out[0]).mkdir(parents=True, exist_ok=True)
        pw.io.csv.write(table, f"{out[0]}/{name}.csv")
    else:
        pw.io.null.write(table)
began = time.monotonic()
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
seconds = time.monotonic() - began
for name in tables if out else []:
    # Without the header, and without the columns of time and difference, which are the last.
    path = pathlib.Path(out[0], f"{name}.csv")
    rows = list(csv.reader(path.open()))[1:]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(row[:-2] for row in rows)
with open(f"{data}/clicks.jsonl", "rb") as file:
    events = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
print(json.dumps({"events": events, "seconds": round(seconds, 3)}))
