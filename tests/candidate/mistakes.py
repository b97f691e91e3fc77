"""Being wrong on purpose, in one way at a time: each must be found by the parallel run, and noticed by no caller.

A mistake is made at one operation, so that it is one group. What is compared of a query is its answer; of a command also what it
would do."""

import json
import os
import time

READ, WRITE = "catalog.show", "catalog.announce"


def amount(change):
    """Changes the first price of a show."""
    def wrong(show):
        price = show["prices"][0]["price"]
        price["amount"] = change(price["amount"])
    return wrong


# What is wrong with a show that is answered.
ANSWERS = {
    "value": amount(lambda n: n + 1),
    "rounding": amount(lambda n: (n + 50) // 100 * 100),
    "type": amount(str),
    "missing": lambda show: show.pop("venue"),
    "extra": lambda show: show.update(sold_out=False),
    "order": lambda show: show["prices"].reverse(),
    "status": None,
}
# What is wrong with what would be done.
EFFECTS = {
    "missing-event": lambda then: then["events"].pop(),
    "doubled-event": lambda then: then["events"].append(then["events"][-1]),
    "extra-row": lambda then: then["rows"].append({**then["rows"][-1], "kind": "poster"}),
    "wrong-row": lambda then: amount(lambda n: n + 1)(then["rows"][-1]["state"]["show"]),
}
# What is no answer at all.
SILENCES = ("hang", "huge", "halfway", "crash")
NAMES = (*ANSWERS, *EFFECTS, *SILENCES)


def parse(text):
    """`NAME` or `NAME@OPERATION`."""
    kind, _, operation = text.partition("@")
    if kind not in NAMES:
        raise ValueError(f"{kind} is no mistake that can be made")
    return kind, operation or (WRITE if kind in EFFECTS else READ)


def spoil(desk, mistake, operation, said):
    """What is said, wrong if it is to be; None when nothing good was said."""
    kind, where = mistake or (None, None)
    if where != operation:
        return said
    if kind in SILENCES:
        return silence(desk, kind)
    # The same show may be answered, kept and published: only one of them is to be wrong.
    said = json.loads(json.dumps(said))
    good = said["answer"] and said["answer"]["status"] < 300
    if kind in EFFECTS:
        if said["then"]["rows"]:
            EFFECTS[kind](said["then"])
    elif good and kind == "status":
        said["answer"] = {"status": 500, "body": {"type": "about:blank", "title": "It broke", "status": 500}}
    elif good:
        ANSWERS[kind](said["answer"]["body"])
    return said


def silence(desk, kind):
    desk.close_connection = True
    if kind == "crash":
        os._exit(1)
    if kind == "hang":
        time.sleep(60)
        return
    length = 100 << 20 if kind == "huge" else 1000
    desk.send_response(200)
    desk.send_header("content-type", "application/json")
    desk.send_header("content-length", str(length))
    desk.end_headers()
    desk.wfile.write(b'{"id": "')
    if kind == "huge":
        for _ in range(length >> 16):
            desk.wfile.write(b"x" * (1 << 16))
