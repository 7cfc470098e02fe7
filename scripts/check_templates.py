#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_templates.py PROGRAM: chat templates of real models, rendered by Tenon (PROGRAM is render_templates) and by Jinja, byte for byte.

The templates are those of the llama-cpp-python sdist, unpacked in the cache folder; nothing of them is kept in this repository. Jinja
(PyPI's jinja2, in an environment of its own in the cache folder) runs as model repositories expect: sandboxed, blocks trimmed, loop
controls, {% generation %}, tojson without HTML escapes, raise_exception, strftime_now.

Each template renders plain chats, chats with a system prompt, and chats with tools, tool calls and tool results, with and without the
generation prompt and with enable_thinking on and off. A chat comes in several forms (arguments as object or text, no content as text or
null, …), since no template takes all: those that Jinja renders are compared. A conversation that a template refuses (raise_exception)
must be refused; where Jinja ends by accident (a sum of text and null) Tenon may go on. A template counts as equal if all that Jinja
renders is equal, and that is something of each kind, but for kinds that the template itself refuses. Prints every difference, then the
count; fails below LEAST."""
import datetime
import difflib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGE, VERSION, LEAST = "llama-cpp-python", "0.3.36", 60
NOW = datetime.datetime(2026, 3, 7, 14, 5, 9, tzinfo=datetime.timezone.utc)
SHOWN = 6  # lines of each difference


def cache_folder():
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    folder = os.environ.get("TENON_CACHE") or (xdg + "/tenon" if xdg.startswith("/") else os.path.expanduser("~/.cache/tenon"))
    return pathlib.Path(folder)


def run(*command):
    result = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        sys.exit(f"check_templates.py: {command[0]} ended with {result.returncode}\n{result.stdout.decode(errors='replace')[-2000:]}")


def templates_folder(cache):
    folder = cache / f"{PACKAGE}-{VERSION}" / "templates"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", PACKAGE, "--dest", work, f"{PACKAGE}=={VERSION}")
            unpacked = pathlib.Path(work) / "templates"
            unpacked.mkdir()
            with tarfile.open(next(pathlib.Path(work).glob("*.tar.gz"))) as sdist:
                for member in sdist:
                    if "/vendor/llama.cpp/models/templates/" in member.name and member.name.endswith(".jinja"):
                        (unpacked / os.path.basename(member.name)).write_bytes(sdist.extractfile(member).read())
            unpacked.rename(folder)
    return folder


def enter_environment(cache):
    """Runs this program again with a Python that has jinja2."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        python = cache / "check-templates-python" / "bin" / "python3"
        if not python.exists():
            run(sys.executable, "-m", "venv", python.parent.parent)
            run(python, "-m", "pip", "install", "--quiet", "jinja2")
        os.execv(python, [python, *sys.argv])


# ---- Jinja, as model repositories run it ----


def make_environment():
    import jinja2
    import jinja2.ext
    import jinja2.nodes
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        """{% generation %}: which part the assistant wrote. Here it only shows its body."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("show", []), [], [], body).set_lineno(line)

        def show(self, caller):
            return caller()

    def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals.update(raise_exception=raise_exception, strftime_now=NOW.strftime)
    return environment


def render_with_jinja(environment, compiled, job):
    """The text, or None, why not, and whether the template said so."""
    try:
        if job["template"] not in compiled:
            compiled[job["template"]] = environment.from_string(job["template"])
        return compiled[job["template"]].render(messages=json.loads(json.dumps(job["messages"])), tools=job["tools"], documents=None,
                               add_generation_prompt=job["prompt"], **job["variables"]), None, False
    except Exception as reason:  # a template can fail in any way
        return None, f"{type(reason).__name__}: {reason}", type(reason).__name__ == "TemplateError"


# ---- the chats ----

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a place, \"now\" & here.",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "Name of the city, e.g. Zürich"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
            "days": {"type": ["integer", "null"], "description": "How many days", "minimum": 1, "maximum": 7.5},
            "tags": {"type": "array", "items": {"type": "string"}}, "deep": {"type": "object", "properties": {"x": {"type": "number"}}}}}}},
    {"type": "function", "function": {
        "name": "add", "description": "Adds two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}},
]
SIMPLE_TOOLS = [{"type": "function", "function": {"name": name, "description": "It has a use.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "integer"}}, "required": ["city"]}}}
    for name in ("get_weather", "add", "now")]
SYSTEM = {"role": "system", "content": "You are brief.\nAnswer in <English>, it's \"easy\"."}
PLAIN = [
    {"role": "user", "content": " What is 2 < 3? "},
    {"role": "assistant", "content": "True, of course.\n"},
    {"role": "user", "content": "Et à l'école, 日本語 & 😀?\n\nSecond paragraph."},
]
THOUGHT = [
    {"role": "user", "content": "Think."},
    {"role": "assistant", "content": "<think>\nHm, so be it.\n</think>\n\nDone."},
    {"role": "user", "content": "Again."},
]


def call(name, arguments, number, as_text):
    return {"id": f"call{number:05d}", "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False) if as_text else arguments}}


def with_calls(as_text, no_content, several, has_name, has_system):
    """A question, a call with its result, an answer, and a second call whose result is the last message."""
    first = [call("get_weather", {"city": "Zürich", "days": 2, "tags": ["a\"b", "c"], "deep": {"x": 1.5, "y": None, "z": True}}, 1, as_text)]
    if several:
        first.append(call("add", {"a": 1, "b": -2.25}, 2, as_text))
    results = [{"role": "tool", "tool_call_id": item["id"], "content": f"{{\"result\": {index}, \"text\": \"fine & dry\"}}",
                **({"name": item["function"]["name"]} if has_name else {})} for index, item in enumerate(first)]
    messages = [{"role": "user", "content": "How is the weather?"}, {"role": "assistant", "content": no_content, "tool_calls": first}, *results,
                {"role": "assistant", "content": "It is fine."}, {"role": "user", "content": "And the time?"},
                {"role": "assistant", "content": "I look." if several else no_content, "tool_calls": [call("now", {}, 3, as_text)]},
                {"role": "tool", "tool_call_id": "call00003", "content": "noon", **({"name": "now"} if has_name else {})}]
    return ([SYSTEM] if has_system else []) + messages


def chats():
    """(kind, name, messages, tools)"""
    yield "plain", "plain", PLAIN, None
    yield "plain", "one question", PLAIN[2:], None
    yield "plain", "no tools", PLAIN, []
    yield "plain", "thought", THOUGHT, None
    yield "system", "system", [SYSTEM, *PLAIN], None
    yield "system", "system, no tools", [SYSTEM, *PLAIN], []
    yield "system", "system, thought", [SYSTEM, *THOUGHT], None
    yield "tools", "tools unused", [SYSTEM, *PLAIN], TOOLS
    forms = itertools.product((False, True), ("", None), (True, False), (True, False), (True, False), (TOOLS, SIMPLE_TOOLS))
    for as_text, no_content, several, has_name, has_system, tools in forms:
        words = [word for word, holds in (("arguments as text", as_text), ("content null", no_content is None), ("several calls", several),
                                          ("results with name", has_name), ("system", has_system), ("simple tools", tools is SIMPLE_TOOLS)) if holds]
        yield "tools", "calls: " + ", ".join(words), with_calls(as_text, no_content, several, has_name, has_system), tools


def make_jobs(template):
    text = template.read_bytes().decode()
    for kind, name, messages, tools in chats():
        for prompt, thinking in ((True, None), (False, False)) if "calls" in name else ((True, None), (False, None), (True, True), (True, False)):
            variables = {"bos_token": "<s>", "eos_token": "</s>", "functions": "[]", "datetime": "today"}
            if thinking is not None:
                variables["enable_thinking"] = thinking
            yield {"kind": kind, "name": f"{name}; prompt {prompt}; thinking {thinking}", "template": text, "messages": messages, "tools": tools,
                   "variables": variables, "prompt": prompt, "now": int(NOW.timestamp())}


def render_with_tenon(program, jobs):
    """(status, text or message) of each."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(jobs, file)
        file.flush()
        output = subprocess.run([program, file.name], stdout=subprocess.PIPE, check=True).stdout
    at = 0
    for _ in jobs:
        line_end = output.index(b"\n", at)
        status, size = map(int, output[at:line_end].split())
        yield status, output[line_end + 1:line_end + 1 + size].decode()
        at = line_end + size + 2


def difference(expected, got):
    lines = difflib.unified_diff(expected.splitlines(True), got.splitlines(True), "jinja", "tenon", n=0)
    return [f"    {line!r}" for line in itertools.islice(lines, 2, 2 + SHOWN)]


def check(environment, program, template):
    """(what is wrong, what Tenon refuses by name, kinds that Jinja renders nothing of: why)"""
    jobs = list(make_jobs(template))
    problems, refused, absent = [], set(), {"plain": "", "system": "", "tools": ""}
    compiled = {}
    results = [(job, *render_with_jinja(environment, compiled, job), *ours) for job, ours in zip(jobs, render_with_tenon(program, jobs))]
    as_object = any(expected is not None and "calls" in job["name"] and "as text" not in job["name"] for job, expected, *_ in results)
    for job, expected, reason, is_meant, status, text in results:
        if "as text" in job["name"] and as_object:
            continue  # Tenon shows such arguments as the object, which this template takes
        if expected is None:
            if job["kind"] in absent:
                absent[job["kind"]] = absent[job["kind"]] or reason
            if status == 0 and is_meant:
                problems.append(f"  {job['name']}: the template refuses it ({reason}), Tenon does not")
        elif status != 0:
            refused.add(text)
            problems.append(f"  {job['name']}: {text}")
        else:
            absent.pop(job["kind"], None)
            if text != expected:
                problems += [f"  {job['name']}:", *difference(expected, text)]
    problems += [f"  Jinja renders nothing of the kind '{kind}': {reason}" for kind, reason in absent.items() if "TemplateError" not in reason]
    return problems, refused, absent


def main():
    cache = cache_folder()
    enter_environment(cache)
    environment = make_environment()
    program, *names = sys.argv[1:]
    templates = [path for path in sorted(templates_folder(cache).glob("*.jinja")) if not names or any(name in path.name for name in names)]
    equal = []
    for template in templates:
        problems, refused, absent = check(environment, program, template)
        if not problems:
            equal.append(template)
        note = "".join(f"; refuses the kind '{kind}'" for kind in sorted(absent)) if not problems else ""
        print(f"{template.name}: {'differs' if problems else 'equal'}{note}", flush=True)
        for line in (sorted(refused) or problems)[: None if names else 12]:
            print(line)
    print(f"{len(equal)} of {len(templates)} templates render as Jinja does, at least {LEAST} are expected")
    sys.exit(0 if names or len(equal) >= LEAST else 1)


main()
