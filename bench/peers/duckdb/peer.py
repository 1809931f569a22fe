#!/usr/bin/env python3
"""DuckDB: one batch over the files, nothing kept fresh.   peer.py DATA THREADS [OUT]"""
import json
import pathlib
import string
import sys
import time

import duckdb

data, threads, *out = sys.argv[1:]
tables = ["events_per_min", "pages_per_min", "click_user_sessions", "errors_per_min_alert", "errors_per_min",
          "enriched_error_codes_count", "user_ip_activity"]
sql = pathlib.Path(__file__).with_name("views.sql").read_text()
db = duckdb.connect(config={"threads": int(threads), "preserve_insertion_order": False})
began = time.monotonic()
db.execute(string.Template(sql).substitute(data=data))
seconds = time.monotonic() - began
events = db.execute("SELECT count(*) FROM clicks").fetchone()[0]
for folder in out:
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for table in tables:
        db.execute(f"COPY {table} TO '{folder}/{table}.csv' (HEADER false)")
print(json.dumps({"events": events, "seconds": round(seconds, 3)}))
