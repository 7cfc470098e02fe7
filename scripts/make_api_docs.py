#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_api_docs.py [--check]: writes docs/api.md from the tables of src/server: routes.c and fields.def. --check compares only."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/api.md"
ROUTES = {"/v1/completions": "COMPLETIONS", "/v1/chat/completions": "CHAT", "/tokenize": "TOKENIZE", "/detokenize": "DETOKENIZE",
          "/apply-template": "TEMPLATE", "/v1/embeddings": "EMBEDDINGS"}
HEAD = """# The HTTP API

Made by `scripts/make_api_docs.py` from the tables that the server reads requests by (`src/server/routes.c`, `fields.def`); `make lint`
compares. How to run a server: [server.md](server.md).

Bodies are JSON objects with `Content-Type: application/json`. A field that is not listed is refused, so a misspelled one is noticed;
`null` means: not given. Errors have OpenAI's form:

    {"error": {"message": "…", "type": "invalid_request_error", "param": "temperature", "code": "invalid_value"}}

| status | when |
|---|---|
| 400 | a field, the body's form, a prompt that does not fit the context (`context_length_exceeded`), something that is not built (`unsupported`) |
| 401, 403 | no right key; a Host or an origin that is not served |
| 404, 405 | no such route or model; another method |
| 408 | head or body did not come in time |
| 413, 415, 431 | body too large; not plain JSON; head too large |
| 429 | the queue is full, too many connections or wrong keys of one address; `Retry-After` says when to come again |
| 501 | not built into this engine |
| 503 | shutting down, or out of memory or connections; `Retry-After` |

After a stream has begun an error comes as an event: `data: {"error": …}`, then `data: [DONE]`. libmicrohttpd answers what it cannot
parse at all by itself, with its own short page in place of the object.

Log-probabilities are those of the model's own logits, before penalties, bias and temperature. An answer's text neither holds the end
token nor the stop string; a stream never splits a code point, and its pieces put together are the whole answer. `: ping` comments
break the silence of a stream. `finish_reason` is `stop`, `length` or `tool_calls`; `stop_reason` says which stop string or token
ended it, or `timed_out`.
"""


def read_routes():
    text = (ROOT / "src/server/routes.c").read_text()
    row = re.compile(r'\{"(/[^"]*)", TN_METHOD_(\w+), (true|false), (?:true|false), (\w+), \w+,\s*"([^"]*)"\}')
    return [match.groups() for match in row.finditer(text)]


def split_arguments(text):
    parts, depth, quoted, begin = [], 0, False, 0
    for i, c in enumerate(text):
        if c == '"' and text[i - 1] != "\\":
            quoted = not quoted
        elif not quoted and c == "," and depth == 0:
            parts.append(text[begin:i].strip())
            begin = i + 1
    return parts + [text[begin:].strip()]


def read_fields():
    fields = []
    for line in (ROOT / "src/server/fields.def").read_text().splitlines():
        match = re.match(r"(INTEGER|NUMBER|BOOLEAN|STRING|VALUE|NO_EFFECT|REFUSED)\((.*)\)$", line)
        if not match:
            continue
        kind, rest = match.groups()
        parts = [part[1:-1].replace('\\"', '"') if part.startswith('"') else part for part in split_arguments(rest)]
        fields.append((kind, parts[0].replace(" ", "").split("|"), parts[1], parts[2:]))
    return fields


def form_of(kind, rest):
    """(type and range, default)"""
    if kind in ("INTEGER", "NUMBER"):
        low, high, default = rest[1:4]
        number = int if kind == "INTEGER" else float
        is_default = number(low) <= number(default) <= number(high)
        return f"{kind.lower()}, {low} to {high}", default if is_default else ""
    if kind == "BOOLEAN":
        return "boolean", rest[1]
    if kind == "STRING":
        return "string", ""
    return rest[1].replace("|", "\\|"), ""


def make_page():
    lines, fields = [HEAD, "## Routes\n", "| route | key | |", "|---|---|---|"], read_fields()
    for path, method, is_open, _, summary in read_routes():
        lines.append(f"| {method} `{path}` | {'' if is_open == 'true' else 'if keys are set'} | {summary} |")
    for path, bit in ROUTES.items():
        mine = [field for field in fields if bit in field[1]]
        lines += ["", f"## {path}", "", "| field | type | default | |", "|---|---|---|---|"]
        for kind, _, name, rest in mine:
            if kind not in ("NO_EFFECT", "REFUSED"):
                form, default = form_of(kind, rest)
                lines.append(f"| `{name}` | {form} | {default} | {rest[-1]} |")
        for kind, words in (("NO_EFFECT", "Taken, without effect"), ("REFUSED", "Refused, since not built")):
            names = [f"`{name}` ({rest[-1].rstrip('.')})" for other, _, name, rest in mine if other == kind]
            if names:
                lines += ["", f"{words}: {', '.join(names)}."]
    return "\n".join(lines) + "\n"


def main():
    page = make_page()
    if "--check" not in sys.argv:
        PAGE.write_text(page)
    elif not PAGE.is_file() or PAGE.read_text() != page:
        print("docs/api.md is not what the tables say; run scripts/make_api_docs.py")
        sys.exit(1)


main()
