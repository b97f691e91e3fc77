"""The catalog's rules: what can be put, what a command comes to, and how a refusal is said."""

import re
from datetime import datetime, timedelta, timezone

PROBLEMS = {
    "no-such-act": (404, "No such act", "no act has the id {id}"),
    "no-such-venue": (404, "No such venue", "no venue has the id {id}"),
    "no-such-show": (404, "No such show", "no show has the id {id}"),
    "show-cancelled": (410, "The show was cancelled", "the show {id} was cancelled; announce another under an id of its own"),
    "other-version": (412, "It was changed in the meantime",
                      "it is not at a version that If-Match names; read it again and decide anew"),
    "unknown-act": (422, "Unknown act", "no act has the id {act}; announce the act first"),
    "unknown-venue": (422, "Unknown venue", "no venue has the id {venue}; register the venue first"),
    "unknown-section": (422, "Unknown section", "the venue has no section `{section}`"),
}
# What fails on the way to the catalog, and not in it.
FAULTS = {
    "malformed": (400, "The request cannot be read"),
    "forbidden": (403, "The token does not allow this"),
    "no-such-path": (404, "Nothing is at this path"),
    "invalid": (422, "The request says something that cannot be"),
    "unavailable": (503, "Nobody is there to answer"),
}


class Refused(Exception):
    """A request that is not carried out: the kind of problem, and its members."""

    def __init__(self, kind, **members):
        self.kind, self.members = kind, members
        self.status = (PROBLEMS.get(kind) or FAULTS[kind])[0]


class Missing(Exception):
    """The recording does not have what is needed."""


def problem(refused):
    """The problem document (RFC 9457) of a refusal."""
    if refused.kind in FAULTS:
        status, title = FAULTS[refused.kind]
        return {"type": f"urn:problem-type:way:{refused.kind}", "title": title, "status": status, **refused.members}
    status, title, detail = PROBLEMS[refused.kind]
    return {"type": f"urn:problem-type:catalog:{refused.kind}", "title": title, "status": status,
            "detail": detail.format(**refused.members), **refused.members}


def wrong(detail):
    return Refused("invalid", detail=f"the body: {detail}")


# ---- times: RFC 3339 outside, whole microseconds since 1970 inside ----------------------------------------------------

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")


def micros(text):
    """A time in microseconds; what is finer is cut off."""
    found = TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        day, clock, fraction, zone = found.groups()
        whole = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
        at = (whole - EPOCH) // timedelta(microseconds=1) + int((fraction or "").ljust(6, "0")[:6])
    except (AttributeError, ValueError, OverflowError):
        raise Refused("malformed", detail="not a time of RFC 3339, such as 2027-05-01T19:30:00Z") from None
    if not 0 <= at <= 253_402_300_799_999_999:
        raise Refused("malformed", detail="a time is between the years 1970 and 9999")
    return at


def moment(at):
    """Microseconds as the contract writes them: no, three or six digits of a second."""
    text, rest = (EPOCH + timedelta(seconds=at // 1_000_000)).strftime("%Y-%m-%dT%H:%M:%S"), at % 1_000_000
    return text + ("" if not rest else f".{rest // 1000:03}" if rest % 1000 == 0 else f".{rest:06}") + "Z"


# ---- drafts: what callers put ------------------------------------------------------------------------------------------

def member(body, key, kind):
    """A member of an object, of this type; whoever sends something else is told."""
    if not isinstance(body, dict) or not isinstance(body.get(key), kind) or isinstance(body.get(key), bool):
        raise wrong(f"{key}: it is missing, or no {kind.__name__}")
    return body[key]


def name(text, most, wrong):
    """A text that people write; `wrong` makes the refusal of a sentence."""
    if len(text) > most:
        raise wrong(f"at most {most} characters, not {len(text)}")
    if not text.strip():
        raise wrong("must not be blank")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise wrong("must not contain control characters")
    return text


def text(body, key, most):
    return name(member(body, key, str), most, lambda why: wrong(f"{key}: {why}"))


def number(body, key, least, most):
    n = member(body, key, int)
    if not least <= n <= most:
        raise wrong(f"{key} is between {least} and {most}, not {n}")
    return n


def uuid_of(body, key):
    if not re.fullmatch(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", member(body, key, str)):
        raise wrong(f"{key}: not a UUID")
    digits = body[key].replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def several(body, key, each):
    found = [each(one) for one in member(body, key, list)]
    if not 1 <= len(found) <= 50:
        raise wrong(f"{key}: there are 1 to 50, not {len(found)}")
    return found


def once(what, sections):
    for n, section in enumerate(sections):
        if section in sections[:n]:
            raise wrong(f"{what}: the section `{section}` is there twice")


def act_draft(body):
    return {"name": text(body, "name", 200), "genre": text(body, "genre", 60)}


def venue_draft(body):
    draft = {"name": text(body, "name", 200), "city": text(body, "city", 200), "time_zone": text(body, "time_zone", 60)}
    if not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*", part) for part in draft["time_zone"].split("/")):
        raise wrong("time_zone: not a name of the IANA time zone database, such as Europe/Vienna")
    draft["sections"] = several(body, "sections", lambda s: {
        "name": text(s, "name", 60), "rows": number(s, "rows", 1, 500), "seats_per_row": number(s, "seats_per_row", 1, 500)})
    once("sections", [s["name"] for s in draft["sections"]])
    if sum(s["rows"] * s["seats_per_row"] for s in draft["sections"]) > 100_000:
        raise wrong("sections: a venue has 100000 seats at most")
    return draft


def price(body):
    money = member(body, "price", dict)
    if not re.fullmatch("[A-Z]{3}", member(money, "currency", str)):
        raise wrong("a currency is three capital letters, such as EUR")
    return {"section": text(body, "section", 60),
            "price": {"amount": number(money, "amount", 0, 10**12), "currency": money["currency"]}}


def show_draft(body):
    try:
        starts_at = moment(micros(member(body, "starts_at", str)))
    except Refused as refused:
        raise wrong(f"starts_at: {refused.members['detail']}") from None
    draft = {"act": uuid_of(body, "act"), "venue": uuid_of(body, "venue"), "starts_at": starts_at,
             "prices": several(body, "prices", price)}
    once("prices", [p["section"] for p in draft["prices"]])
    if len({p["price"]["currency"] for p in draft["prices"]}) > 1:
        raise wrong("prices: a show is sold in one currency")
    return draft


# ---- a unit of work: what is loaded comes from the recording, what would be left goes into `then` ----------------------

class Unit:
    """A command over what the live run was given. Every command of the catalog is one transaction."""

    def __init__(self, given):
        self.rows = [[row, False] for row in (given["units"] or [{"rows": []}])[0].get("rows", [])]
        self.then = {"rows": [], "writes": [], "events": [], "calls": []}

    def load(self, kind, thing):
        """What the live run found: each time the next that it loaded of this row, in the end the last once more."""
        found = [row for row in self.rows if row[0]["kind"] == kind and row[0]["id"] == thing]
        if not found:
            raise Missing(f"row {kind} {thing}")
        row = next((row for row in found if not row[1]), found[-1])
        row[1] = True
        return row[0]["state"]

    def leave(self, kind, state, event, row=None):
        """Leaves a row and what happened."""
        thing, version = state["id"], state["version"]
        self.then["rows"].append({"kind": kind, "id": thing, "version": version, "state": row or state})
        self.then["events"].append({"type": f"catalog.{kind}.{event}", "subject": thing, "version": version, "data": state})

    def settle(self, kind, there, state, event, row):
        """201 for what is new, 200 for what has changed or is just so already."""
        if there == {**state, "version": there and there["version"]}:
            return {"status": 200, "body": there}
        state["version"] = there["version"] + 1 if there else 1
        self.leave(kind, state, "changed" if there else event, row(state))
        return {"status": 200 if there else 201, "body": state}

    def put(self, kind, thing, expected, draft, event):
        there = self.load(kind, thing)
        expect(expected, there and there["version"])
        return self.settle(kind, there, {"id": thing, "version": 0, **draft}, event, lambda state: state)

    def announce(self, thing, expected, draft):
        row = self.load("show", thing)
        if row and row["cancelled"]:
            raise Refused("show-cancelled", id=thing)
        there = row and row["show"]
        expect(expected, there and there["version"])
        # What is there already was possible when it was announced; its venue may have been rebuilt since.
        if not there or there != {"id": thing, "version": there["version"], **draft}:
            if self.load("act", draft["act"]) is None:
                raise Refused("unknown-act", act=draft["act"])
            house = self.load("venue", draft["venue"])
            if house is None:
                raise Refused("unknown-venue", venue=draft["venue"])
            known = {section["name"] for section in house["sections"]}
            for section in (p["section"] for p in draft["prices"]):
                if section not in known:
                    raise Refused("unknown-section", section=section)
        state = {"id": thing, "version": 0, **draft}
        return self.settle("show", there, state, "announced", lambda state: {"show": state, "cancelled": False})

    def cancel(self, thing, expected):
        row = self.load("show", thing)
        if row is None:
            raise Refused("no-such-show", id=thing)
        if not row["cancelled"]:
            expect(expected, row["show"]["version"])
            version = row["show"]["version"] + 1
            state = {"show": {**row["show"], "version": version}, "cancelled": True}
            self.leave("show", {"id": thing, "version": version}, "cancelled", state)
        return {"status": 204, "body": None}


def expect(tags, version):
    """If-Match: whether a thing at this version, null when there is none, may be changed."""
    if tags is None:
        return
    strong = [re.fullmatch(r'"([+-]?\d+)"', tag.strip()) for tag in tags.split(",")]
    if version is None or not (tags.strip() == "*" or version in [int(tag[1]) for tag in strong if tag]):
        raise Refused("other-version")
