#!/usr/bin/env python3
"""The catalog once more, in another language: a candidate for a parallel run, in Python's standard library alone.

It serves the catalog's contract from a SQLite file of its own, which it fills by following the catalog's event log; registers with
the monolith; and says what a command would do, as docs/guides/shadow-protocol.md has it. Of Banyan it needs two addresses and the
join token:

    BANYAN_JOIN_TOKEN=$(cat data/join-token) tests/candidate/catalog.py --monolith http://127.0.0.1:8081 --file catalog.sqlite

It checks no signature, so it listens on this machine alone. With --mistake it is wrong on purpose; see mistakes.py.
"""

import argparse
import base64
import http.client
import http.server
import json
import os
import signal
import sqlite3
import sys
import threading
import time
import urllib.parse
import uuid
from datetime import datetime, timezone

import mistakes
from rules import Missing, Refused, Unit, act_draft, micros, name, problem, show_draft, venue_draft

PREFIX = "/api/v1/catalog/"


class Store:
    """What the candidate knows: a SQLite file, and how far into the catalog's log it goes."""

    SCHEMA = """
        CREATE TABLE IF NOT EXISTS acts (id TEXT PRIMARY KEY, version INTEGER, folded TEXT, body TEXT);
        CREATE TABLE IF NOT EXISTS venues (id TEXT PRIMARY KEY, version INTEGER, folded TEXT, body TEXT);
        CREATE TABLE IF NOT EXISTS shows (id TEXT PRIMARY KEY, version INTEGER, act TEXT, venue TEXT, starts_at INTEGER, body TEXT);
        CREATE INDEX IF NOT EXISTS shows_in_time ON shows (starts_at, id);
        CREATE TABLE IF NOT EXISTS log (one INTEGER PRIMARY KEY, incarnation TEXT, position INTEGER)"""

    def __init__(self, file):
        self.lock = threading.Lock()
        self.db = sqlite3.connect(file, check_same_thread=False)
        self.db.executescript("PRAGMA journal_mode = WAL;" + self.SCHEMA)

    def ask(self, sql, *values):
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    def position(self):
        found = self.ask("SELECT incarnation, position FROM log")
        return found[0] if found else (None, 0)

    def begin_anew(self, incarnation):
        """Another log than the one so far: nothing that is known holds."""
        with self.lock, self.db:
            for table in ("acts", "venues", "shows", "log"):
                self.db.execute(f"DELETE FROM {table}")
            self.db.execute("INSERT INTO log VALUES (1, ?, 0)", (incarnation,))

    def apply(self, events):
        """Events and the place in the log in one transaction: none is applied twice, and none is left out."""
        with self.lock, self.db:
            for event in events:
                self._apply(event["type"], event["data"])
            self.db.execute("UPDATE log SET position = ?", (events[-1]["position"],))

    def _apply(self, kind, data):
        body = json.dumps(data)
        if kind.startswith("catalog.act."):
            self.db.execute("REPLACE INTO acts VALUES (?, ?, ?, ?)", (data["id"], data["version"], data["name"].lower(), body))
        elif kind.startswith("catalog.venue."):
            self.db.execute("REPLACE INTO venues VALUES (?, ?, ?, ?)", (data["id"], data["version"], data["city"].lower(), body))
        elif kind == "catalog.show.cancelled":
            # What is left of it is the fact: without a body it was cancelled.
            self.db.execute("UPDATE shows SET version = ?, body = NULL WHERE id = ?", (data["version"], data["id"]))
        elif kind.startswith("catalog.show."):
            row = (data["id"], data["version"], data["act"], data["venue"], micros(data["starts_at"]), body)
            self.db.execute("REPLACE INTO shows VALUES (?, ?, ?, ?, ?, ?)", row)

    def one(self, kind, table, thing):
        found = self.ask(f"SELECT body FROM {table} WHERE id = ?", thing)
        if not found:
            raise Refused("no-such-" + kind, id=thing)
        if found[0][0] is None:
            raise Refused("show-cancelled", id=thing)
        return json.loads(found[0][0])

    def shows(self, query):
        """A page of shows, soonest first, ties by id."""
        where, values = ["body IS NOT NULL"], []

        def only(condition, *given):
            where.append(condition)
            values.extend(given)

        if "from" in query:
            only("starts_at >= ?", moment_of(query, "from"))
        if "to" in query:
            only("starts_at < ?", moment_of(query, "to"))
        if "act" in query:
            only("act = ?", ident(query["act"], "the query: act"))
        if "search" in query:
            only("act IN (SELECT id FROM acts WHERE instr(folded, ?))", folded(query, "search"))
        if "city" in query:
            only("venue IN (SELECT id FROM venues WHERE folded = ?)", folded(query, "city"))
        if "cursor" in query:
            at, last = cursor(query["cursor"])
            only("(starts_at, id) > (?, ?)", at, last)
        limit = query.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100:
            raise Refused("malformed", detail=f"the query: limit: a limit is between 1 and 100, not {limit}")
        limit = int(limit)
        sql = f"SELECT body, starts_at, id FROM shows WHERE {' AND '.join(where)} ORDER BY starts_at, id LIMIT ?"
        rows = self.ask(sql, *values, limit + 1)
        page = rows[:limit]
        more = f"{page[-1][1]:016x}{uuid.UUID(page[-1][2]).hex}" if len(rows) > limit else None
        return {"items": [json.loads(row[0]) for row in page], "next": more}


def moment_of(query, key):
    try:
        return micros(query[key])
    except Refused as refused:
        raise Refused("malformed", detail=f"the query: {key}: {refused.members['detail']}") from None


def folded(query, key):
    return name(query[key], 200, lambda why: Refused("malformed", detail=f"the query: {key}: {why}")).lower()


def ident(text, where):
    try:
        if len(text) == 36:
            return str(uuid.UUID(text))
    except ValueError:
        pass
    raise Refused("malformed", detail=f"{where}: not a UUID, such as 0190163d-8694-739b-aea5-966c26f8ad91")


def cursor(text):
    try:
        if len(text) == 48:
            return int(text[:16], 16), str(uuid.UUID(text[16:]))
    except ValueError:
        pass
    raise Refused("malformed", detail="the query: cursor: not a cursor that a page gave; start without one")


class Monolith:
    """The internal address of the monolith, as somebody sees it who has the join token."""

    def __init__(self, url, token):
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname, parts.port or 80)
        self.headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(*self.address, timeout=15)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self.headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def get(self, path):
        status, body = self.ask("GET", path)
        if status != 200:
            raise OSError(f"{path}: {status}: {body}")
        return body


def follow(monolith, store, caught_up):
    """Keeps the file in step with the catalog's log, from its first event on."""
    log = "/control/v1/logs/catalog"
    while True:
        try:
            incarnation, position = store.position()
            batch = monolith.get(f"{log}?after={position}&limit=1000")
            if batch["incarnation"] != incarnation:
                store.begin_anew(batch["incarnation"])
            elif batch["events"]:
                store.apply(batch["events"])
            else:
                caught_up.set()
                monolith.get(f"{log}/wait?after={position}&incarnation={incarnation}&patience_ms=10000")
        except (OSError, http.client.HTTPException, ValueError) as error:
            print(f"cannot follow the log, trying again: {error}", file=sys.stderr, flush=True)
            time.sleep(0.5)


def beat(monolith, registration):
    """Registers, and again every second: without that the monolith forgets us. Ends the process when it is asked to."""
    while True:
        try:
            status, answer = monolith.ask("PUT", f"/control/v1/instances/{registration['id']}", registration)
            if status == 200 and answer.get("stop"):
                os.kill(os.getpid(), signal.SIGTERM)
            if status != 200:
                print(f"not registered: {status}: {answer}", file=sys.stderr, flush=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            print(f"cannot register, trying again: {error}", file=sys.stderr, flush=True)
        time.sleep(1)


class Desk(http.server.BaseHTTPRequestHandler):
    """One connection of the monolith."""

    protocol_version, disable_nagle_algorithm, wbufsize = "HTTP/1.1", True, 1 << 16
    store = caught_up = options = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path in ("/livez", "/readyz"):
            return self.say(200 if self.caught_up.is_set() else 503, {})
        if self.headers.get("strangler-run") == "shadow":
            # What the monolith has just answered may be on its way to us; nobody waits for what is only compared.
            time.sleep(self.options.grace)
        operation = None
        try:
            operation, answer = self.read(path, query)
            told = {"status": 200, "body": answer}
        except Refused as refused:
            told = {"status": refused.status, "body": problem(refused)}
        told = mistakes.spoil(self, self.options.mistake, operation, {"answer": told})
        if told:
            self.tell(told["answer"])

    def read(self, path, query):
        """A query of the contract: which operation it is, and its answer."""
        what, _, thing = path.removeprefix(PREFIX).partition("/")
        if not path.startswith(PREFIX) or what not in ("acts", "venues", "shows"):
            raise Refused("no-such-path", detail=f"there is nothing at {path}")
        if thing:
            kind = what[:-1]
            return f"catalog.{kind}", self.store.one(kind, what, ident(urllib.parse.unquote(thing), "`id` in the path"))
        if what != "shows":
            raise Refused("no-such-path", detail=f"there is nothing at {path}")
        return "catalog.shows", self.store.shows(dict(urllib.parse.parse_qsl(query, keep_blank_values=True)))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        if self.path != "/shadow/v1/catalog":
            return self.refuse()
        when, unit = body["when"], Unit(body["given"])
        if "command" not in when:
            return self.say(422, problem(Refused("invalid", detail="the catalog has no sagas and hears no events")))
        said = {"now": None, "ids": None, "missing": None}
        try:
            said["answer"] = self.decide(when["command"], unit)
        except Refused as refused:
            # Nothing is left by a command that was refused.
            unit.then = {"rows": [], "writes": [], "events": [], "calls": []}
            said["answer"] = {"status": refused.status, "body": problem(refused)}
        except Missing as missing:
            said.update(answer=None, missing=str(missing))
        said["then"] = unit.then
        if self.options.own_clock:
            said["now"] = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        if self.options.own_ids:
            # Its own number for each event that it would publish.
            said["ids"] = [str(uuid.uuid4()) for _ in unit.then["events"]]
        told = mistakes.spoil(self, self.options.mistake, when["command"]["operation"], said)
        if told:
            self.say(200, told)

    def decide(self, command, unit):
        """What a caller of this command would be told; what it would do is left in the unit of work."""
        if not {"catalog:write", "*"} & self.scopes():
            raise Refused("forbidden", detail="it needs a token with the scope catalog:write")
        operation, expected = command["operation"], command.get("headers", {}).get("if-match")
        thing = command["target"].partition("?")[0].rpartition("/")[2]
        thing = ident(urllib.parse.unquote(thing), "`id` in the path")
        if operation == "catalog.announce_act":
            return unit.put("act", thing, expected, act_draft(command["body"]), "announced")
        if operation == "catalog.register_venue":
            return unit.put("venue", thing, expected, venue_draft(command["body"]), "registered")
        if operation == "catalog.announce":
            return unit.announce(thing, expected, show_draft(command["body"]))
        if operation == "catalog.cancel":
            return unit.cancel(thing, expected)
        raise Refused("no-such-path", detail=f"the catalog has no command {operation}")

    def scopes(self):
        """What the caller may do, by the monolith's word; who could forge it cannot reach this address."""
        try:
            claims = self.headers.get("authorization", "").split(".")[1]
            return set(json.loads(base64.urlsafe_b64decode(claims + "=="))["scope"].split())
        except (IndexError, KeyError, ValueError, AttributeError):
            return set()

    def refuse(self):
        detail = "this candidate is only compared: commands come to /shadow/v1/catalog; put the catalog back to `local` or `shadow`"
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.say(503, problem(Refused("unavailable", detail=detail)))

    do_PUT = do_DELETE = refuse

    def tell(self, answer):
        """An answer as the contract has it: with its tag, and without what the caller has already."""
        status, body = answer["status"], answer["body"]
        tag = f'"{body["version"]}"' if status == 200 and "version" in body else None
        known = [t.strip().removeprefix("W/") for t in self.headers.get("if-none-match", "").split(",")]
        self.say(304 if tag and (tag in known or "*" in known) else status, body, tag)

    def say(self, status, body, tag=None):
        text = b"" if status == 304 else json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("content-length", str(len(text)))
        if tag:
            self.send_header("etag", tag)
        self.end_headers()
        self.wfile.write(text)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 256

    def handle_error(self, request, client_address):
        """Whoever gave up waiting may; anything else is a mistake of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    about = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    about.add_argument("--monolith", required=True, help="its internal address, such as http://127.0.0.1:8081")
    about.add_argument("--file", required=True, help="the SQLite file; made when it is not there")
    about.add_argument("--port", type=int, default=0, help="where it listens on 127.0.0.1; 0 takes a free one")
    about.add_argument("--grace", type=float, default=0.1, help="how many seconds the log may be behind what was answered")
    about.add_argument("--mistake", type=mistakes.parse, help="NAME, or NAME@OPERATION: " + ", ".join(mistakes.NAMES))
    about.add_argument("--own-ids", action="store_true", help="draw ids of its own")
    about.add_argument("--own-clock", action="store_true", help="go by its own clock")
    options = about.parse_args()
    token = os.environ.get("BANYAN_JOIN_TOKEN")
    if not token:
        about.error("the monolith's join token has to be in BANYAN_JOIN_TOKEN; it is in data/join-token")
    monolith, Desk.store = Monolith(options.monolith, token.strip()), Store(options.file)
    Desk.options, Desk.caught_up = options, threading.Event()
    server = Server(("127.0.0.1", options.port), Desk)
    registration = {"id": str(uuid.uuid4()), "module": "catalog", "contract": 1, "pid": os.getpid(),
                    "url": f"http://127.0.0.1:{server.server_port}"}
    for work in (lambda: follow(monolith, Desk.store, Desk.caught_up), lambda: beat(monolith, registration)):
        threading.Thread(target=work, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"serving the catalog at {registration['url']} as {registration['id']}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    try:
        monolith.ask("DELETE", f"/control/v1/instances/{registration['id']}")
    except (OSError, http.client.HTTPException, ValueError):
        pass  # It notices by itself.


if __name__ == "__main__":
    main()
