# SPDX-License-Identifier: Apache-2.0
"""The web page in a headless Chromium, against the mock server: what people do with it, and what a hostile model could try."""

import json
import re
import time

import pytest

from browser import Browser, find_chromium
from mock_server import Server

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    opened = Browser()
    yield opened
    opened.close()


@pytest.fixture
def server():
    running = Server()
    running.seconds_a_token = 0.0005
    yield running
    running.close()


@pytest.fixture
def page(browser, server):
    """The page, fresh: each server has a port and so a storage of its own."""
    browser.size(1280, 860)
    browser.dark(False)
    browser.open(server.url)
    browser.wait("document.getElementById('model').value !== ''")
    yield browser
    assert browser.problems == []


def send(page, text, is_waited_for=True):
    page.run("document.getElementById('composer-text').focus()")
    page.type(text)
    page.press("Enter")
    if is_waited_for:
        page.wait("document.querySelector('.message:last-child .stats') !== null")


def answer(page, script):
    """An expression about the last answer's Markdown, `m`."""
    return page.run(f"(m => {script})([...document.querySelectorAll('.message.assistant .body > .markdown')].at(-1))")


def test_an_answer_streams_in_and_is_formatted(page, server):
    send(page, "How does it hold?")
    assert answer(page, "[...m.querySelectorAll('ol > li')].length") == 2
    assert answer(page, "m.querySelector('ol ul li').textContent") == "Shoulders keep the rail square."
    assert answer(page, "m.querySelector('blockquote').textContent.trim()") == "Cut the mortise first; it is easier to trim a tenon."
    assert answer(page, "[...m.querySelectorAll('tbody tr')].map(row => row.textContent)")[-1] == "mortise and tenonhighhigh"
    assert answer(page, "m.querySelector('td:nth-child(2)').className") == "right"
    assert answer(page, "m.querySelector('pre code').textContent").startswith("def fit(mortise_mm: float, tenon_mm: float) -> str:\n    \"\"\"Says")
    assert answer(page, "[...m.querySelectorAll('.h-keyword')].map(e => e.textContent)")[:2] == ["def", "if"]
    assert answer(page, "m.querySelector('a').href") == "https://example.org/joint"
    assert answer(page, "m.querySelector('a').rel") == "noopener noreferrer nofollow"
    assert re.fullmatch(r"\d+ tokens · [\d.]+ tok/s · first after [\d.]+ m?s", page.run("document.querySelector('.stats').textContent"))
    body = server.requests[-1]
    assert body["messages"] == [{"role": "user", "content": "How does it hold?"}] and body["model"] == "SmolLM2-135M-Instruct"
    assert body["stream"] is True and body["stream_options"] == {"include_usage": True} and "temperature" not in body


def test_text_while_it_streams_is_what_it_is_at_the_end(page, server):
    server.seconds_a_token = 0.003
    send(page, "How does it hold?", False)
    page.wait("document.querySelector('.markdown.growing') !== null && document.querySelector('.markdown.growing table') !== null")
    page.run("window.table = document.querySelector('.markdown.growing table')")
    page.wait("document.querySelector('.message:last-child .stats') !== null")
    grown = answer(page, "m.innerText")
    page.reload()
    page.run("document.querySelector('.chats .open').click()")
    page.wait("document.querySelector('.stats') !== null")
    assert answer(page, "m.innerText") == grown


HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<svg onload='window.hacked = 1'></svg>",
    "[click](javascript:window.hacked=1)",
    "[click](JaVaScRiPt:window.hacked=1)",
    "[click](\tjavascript:window.hacked=1)",
    "[click](java&#115;cript:window.hacked=1)",
    "[click](data:text/html,<script>window.hacked=1</script>)",
    "[click](vbscript:x)",
    "[x](https://example.org/\"onmouseover=\"window.hacked=1)",
    "![x](https://example.org/pixel.png)",
    "![x](javascript:window.hacked=1)",
    "<javascript:window.hacked=1>",
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "<a href='javascript:window.hacked=1'>x</a>",
    "<form action=/v1/models><input name=isindex></form>",
    "<style>body { display: none }</style>",
    "<base href=https://example.org>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "```html\n<script>window.hacked = 1</script>\n```",
    "```\"><script>window.hacked = 1</script>\nx\n```",
    "| <img src=x onerror=window.hacked=1> |\n|---|\n| <script>window.hacked=1</script> |",
    "# <img src=x onerror=window.hacked=1>",
    "- [x] <img src=x onerror=window.hacked=1>",
    "> <script>window.hacked=1</script>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.hacked=1>",
    "<think><img src=x onerror=window.hacked=1></think><script>window.hacked=1</script>",
    "{{constructor.constructor('window.hacked=1')()}}",
]


def test_nothing_that_a_model_says_becomes_html_or_runs(page, server):
    allowed = set("P EM STRONG DEL CODE PRE DIV SPAN BUTTON A UL OL LI BLOCKQUOTE HR BR H2 H3 H4 H5 H6 TABLE THEAD TBODY TR TH TD INPUT".split())
    for text in HOSTILE:
        send(page, "echo:" + text)
        tags = set(answer(page, "[...m.querySelectorAll('*')].map(e => e.tagName)"))
        assert tags <= allowed, (text, tags - allowed)
        assert answer(page, "[...m.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on') || n === 'style' || n === 'srcdoc')") == [], text
        assert all(re.match(r"https?:|mailto:", href) for href in answer(page, "[...m.querySelectorAll('a')].map(e => e.href)")), text
        assert answer(page, "m.querySelectorAll('img, script, iframe, svg, form').length") == 0, text
        page.run("document.querySelectorAll('.message.assistant .markdown a').forEach(a => a.dispatchEvent(new MouseEvent('mouseover')))")
    assert page.run("window.hacked") is None
    assert page.run("document.querySelectorAll('.message.user .text *').length") == 0


def test_html_is_shown_as_the_text_that_it_is(page):
    send(page, "echo:Use <b>bold</b> & <i>such</i>.")
    assert answer(page, "m.textContent") == "Use <b>bold</b> & <i>such</i>."


def test_the_policy_refuses_html_made_of_strings(page):
    assert "TrustedHTML" in page.run("(() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (error) { return String(error); } })()")
    page.problems.clear()


PIECES = ["*a _b ", "[", "![", "](", "`", "``a", "~~a ", "> ", "- ", "  - a\n", "|", "| a |\n|-|\n", "#", "\\", "<http:", "**a*", "http://", "_*", "1. a\n   ", "``` \n"]


def test_long_hostile_text_is_shown_in_time(page):
    for piece in PIECES:  # what is not linear takes minutes here
        text = json.dumps(piece * (60000 // len(piece)))
        assert page.run("import('/page/markdown.js').then(m => { const e = document.createElement('div'); "
                        f"m.updateMarkdown(e, {text}); return e.textContent.length; }})") >= 0, piece


MARKDOWN = {
    "a **b *c* d** e": "a <strong>b <em>c</em> d</strong> e",
    "***both***": "<em><strong>both</strong></em>",
    "snake_case_name and 2 * 3 * 4": "snake_case_name and 2 * 3 * 4",
    "~~gone~~ ~one~": "<del>gone</del> ~one~",
    "`a*b*` `` `x` ``": "<code>a*b*</code> <code>`x`</code>",
    "\\*no\\* \\`no\\`": "*no* `no`",
    "**open and *open": "**open and *open",
    "[t](https://a.b/c_(d)) x": '<a href="https://a.b/c_(d)" target="_blank" rel="noopener noreferrer nofollow">t</a> x',
    "[t](/local)": "t (/local)",
    "[not a link] (x)": "[not a link] (x)",
    "a  \nb\nc": "a<br>b\nc",
    "2^10 < 3 & 4 > 1": "2^10 &lt; 3 &amp; 4 &gt; 1",
}


def test_inline_markdown_is_what_readers_expect(page):
    for text, html in MARKDOWN.items():
        shown = page.run("import('/page/markdown.js').then(m => { const e = document.createElement('div'); "
                         f"m.updateMarkdown(e, {json.dumps(text)}); return e.firstChild.innerHTML; }})")
        assert shown == html, text


def test_blocks_keep_their_nodes_while_the_text_grows(page):
    assert page.run("""import('/page/markdown.js').then(m => {
      const text = '# Title\\n\\nfirst paragraph\\n\\n- a\\n- b\\n\\n```js\\nlet x = 1;\\n```\\n\\nlast', grown = document.createElement('div'), whole = document.createElement('div');
      let first = null, kept = true;
      for (let n = 1; n <= text.length; n++) { m.updateMarkdown(grown, text.slice(0, n)); if (n === 30) first = grown.firstChild; if (n > 30 && grown.firstChild !== first) kept = false; }
      m.updateMarkdown(whole, text);
      return kept && grown.innerHTML === whole.innerHTML; })""")


def test_stop_ends_the_answer_and_the_request(page, server):
    server.seconds_a_token = 0.005
    send(page, "slow", False)
    page.wait("document.querySelector('.markdown.growing')?.textContent.length > 20")
    assert page.run("document.getElementById('send').getAttribute('aria-label')") == "Stop"
    page.press("Escape")
    page.wait("document.querySelector('.stopped')?.textContent === 'Stopped.'")
    assert page.run("document.getElementById('send').getAttribute('aria-label')") == "Send"
    deadline = time.monotonic() + 10
    while server.num_left == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.num_left == 1
    assert "word" in answer(page, "m.textContent")


def test_an_answer_can_be_had_again_and_both_are_kept(page, server):
    send(page, "echo:one")
    page.press("r", modifiers=1)
    page.wait("document.querySelector('.versions')?.textContent === '2/2'")
    assert len(server.requests) == 2 and server.requests[0]["messages"] == server.requests[1]["messages"]
    page.run("document.querySelector('.versions button').click()")
    assert page.run("document.querySelector('.versions').textContent") == "1/2"


def test_an_edited_message_begins_the_chat_anew_from_there(page, server):
    send(page, "echo:one")
    send(page, "echo:two")
    assert [m["role"] for m in server.requests[-1]["messages"]] == ["user", "assistant", "user"]
    page.press("ArrowUp")
    page.wait("document.activeElement.className === 'editor'")
    page.run("document.activeElement.value = ''")
    page.type("echo:three")
    page.press("Enter")
    page.wait("[...document.querySelectorAll('.message.assistant .markdown')].at(-1)?.textContent === 'three' && document.querySelector('.message:last-child .stats') !== null")
    assert [m["content"] for m in server.requests[-1]["messages"]] == ["echo:one", "one", "echo:three"]
    assert page.run("document.querySelectorAll('.message').length") == 4


def test_settings_and_system_prompt_go_with_the_request(page, server):
    page.run("document.querySelector('[data-do=system]').click()")
    page.type("Speak like a carpenter.")
    for name, value in {"temperature": "0.4", "top_k": "40", "seed": "7", "max_tokens": "99"}.items():
        page.run(f"document.getElementById('set-{name}').focus()")
        page.type(value)
    page.run("document.getElementById('set-stop').focus()")
    page.type("END\nSTOP")
    page.press("Escape")
    send(page, "echo:x")
    body = server.requests[-1]
    assert {key: body[key] for key in ("temperature", "top_k", "seed", "max_tokens", "stop")} == {"temperature": 0.4, "top_k": 40, "seed": 7, "max_tokens": 99, "stop": ["END", "STOP"]}
    assert body["messages"][0] == {"role": "system", "content": "Speak like a carpenter."}
    assert page.run("document.querySelector('.message.system .text').textContent") == "Speak like a carpenter."
    assert page.run("document.getElementById('sampling-chip').textContent") == "temp 0.4 · top k 40 · max 99"
    page.press("n", modifiers=1)
    page.run("document.querySelector('[data-do=settings]').click()")
    page.run("[...document.querySelectorAll('.sheet .button')].find(b => b.textContent === 'Server defaults').click()")
    page.press("Escape")
    send(page, "echo:y")
    assert "temperature" not in server.requests[-1] and "stop" not in server.requests[-1]


def test_a_value_out_of_range_is_not_taken(page, server):
    page.run("document.querySelector('[data-do=settings]').click()")
    page.run("document.getElementById('set-temperature').focus()")
    page.type("9")
    page.press("Escape")
    send(page, "echo:x")
    assert "temperature" not in server.requests[-1]


def test_errors_are_told_where_the_answer_would_be(page, server):
    send(page, "fail:429")
    assert page.run("document.querySelector('.problem').textContent") == "the queue is full"
    page.problems.clear()  # Chromium logs the status
    send(page, "break")
    assert page.run("[...document.querySelectorAll('.problem')].at(-1).textContent").startswith("The connection to the server was lost")
    assert "mortise" in answer(page, "m.textContent")  # what came stays
    page.problems.clear()


def test_a_key_is_asked_for_and_kept_for_the_tab_only(browser, server):
    server.key = "secret"
    browser.size(1280, 860)
    browser.open(server.url)
    browser.wait("document.activeElement?.id === 'set-key'")
    browser.type("secret")
    browser.press("Enter")
    browser.wait("document.getElementById('model').value !== ''")
    send(browser, "echo:in")
    assert answer(browser, "m.textContent") == "in"
    assert "secret" not in browser.run("JSON.stringify(localStorage)")
    browser.problems.clear()


def test_thoughts_are_folded_away(page, server):
    send(page, "think")
    assert page.run("document.querySelector('.thought .markdown').textContent") == "First I look at both pieces."
    assert page.run("document.querySelector('.thought').open") is False
    send(page, "echo:<think>hm</think>yes")
    assert answer(page, "m.textContent") == "yes"
    send(page, "echo:z")
    assert server.requests[-1]["messages"][3]["content"] == "yes"


def test_chats_are_kept_found_and_deleted(page):
    send(page, "echo:first chat")
    page.press("n", modifiers=1)
    send(page, "echo:second chat")
    assert page.run("[...document.querySelectorAll('.chats .open')].map(e => e.textContent)") == ["echo:second chat", "echo:first chat"]
    page.run("document.querySelectorAll('.chats .open')[1].click()")
    assert answer(page, "m.textContent") == "first chat"
    page.run("document.querySelectorAll('.chats .icon')[1].click()")
    assert page.run("document.querySelectorAll('.chats .open').length") == 1
    assert page.run("document.getElementById('hello').hidden") is False


def test_the_status_view_shows_what_metrics_say(page, server):
    page.press("2", modifiers=1)
    page.wait("document.querySelectorAll('.view.status .card').length === 8 && document.querySelectorAll('.chart .line').length >= 5", 20)
    text = page.run("document.getElementById('view-status').innerText")
    for word in ("requests running", "key/value cache in use", "Time to first token", "p99", "Ended by: stop 171 · length 28"):
        assert word in text
    assert page.run("document.querySelectorAll('.chart .bar').length") > 20
    page.run("[...document.querySelectorAll('.switch button')][1].click()")
    page.wait("document.getElementById('view-status').innerText.includes('Nothing yet.')")
    page.press("1", modifiers=1)
    scrapes = server.scrapes
    time.sleep(1.3)
    assert server.scrapes <= scrapes + 1  # nobody looks: nobody asks


def test_quantiles_are_prometheuss(page):
    script = "import('/page/metrics.js').then(m => [0.5, 0.9, 0.99].map(q => m.quantile({ bounds: [1, 2, 4, Infinity], counts: [10, 20, 10, 0] }, q)))"
    assert page.run(script) == pytest.approx([1.5, 3.2, 3.92])
    parsed = page.run(r"""import('/page/metrics.js').then(m => [...m.parseMetrics('# HELP a b\na{x="q\\"}, \\\\",y="1"} 2\nb 1e3\nc{le="+Inf"} +Inf\nbad line\n')])""")
    assert parsed == [["a", [{"labels": {"x": 'q"}, \\', "y": "1"}, "value": 2}]], ["b", [{"labels": {}, "value": 1000}]], ["c", [{"labels": {"le": "+Inf"}, "value": None}]]]


@pytest.mark.parametrize("width,height", [(320, 568), (390, 844), (768, 1024), (1280, 800), (2200, 1200)])
def test_no_width_scrolls_sideways(page, width, height):
    page.size(width, height, width < 700)
    send(page, "How does it hold?")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.getElementById('scroll').scrollWidth <= document.getElementById('scroll').clientWidth")
    box = page.run("(b => [b.left, b.right, b.bottom])(document.getElementById('composer').getBoundingClientRect())")
    assert box[0] >= 0 and box[1] <= width and box[2] <= height
    page.run("document.querySelector('[data-do=view-status]').click()")
    page.wait("document.querySelectorAll('.view.status .card').length === 8", 20)
    assert page.run("document.getElementById('view-status').scrollWidth <= document.getElementById('view-status').clientWidth")


def contrast(first, second):
    def light(color):
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    bright, dim = sorted((light(first), light(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_can_be_read_in_light_and_dark(page, is_dark):
    page.dark(is_dark)
    send(page, "How does it hold?")
    pairs = page.run("""[['.markdown p', 'body'], ['.stats', 'body'], ['.message.user .text', '.message.user .text'], ['.markdown a', 'body'], ['.h-comment', '.codeblock'],
      ['.h-keyword', '.codeblock'], ['.h-string', '.codeblock'], ['.h-number', '.codeblock'], ['.h-name', '.codeblock'], ['.codebar', '.codeblock'], ['.note', 'body'], ['.version', '.side'], ['.chats .day', '.side']]
      .map(([text, back]) => [text, getComputedStyle(document.querySelector(text)).color, getComputedStyle(document.querySelector(back)).backgroundColor])""")
    for name, text, back in pairs:
        assert contrast(text, back) >= 4.5, (name, text, back)
    assert (contrast(pairs[0][2], "rgb(255, 255, 255)") > 10) == is_dark


def test_colours_can_be_chosen_and_stay(page):
    def background():
        return page.run("getComputedStyle(document.body).backgroundColor")
    light = background()
    page.run("document.getElementById('theme-button').click(); document.getElementById('theme-button').click()")
    assert background() != light
    page.reload()
    assert background() != light and page.run("document.documentElement.dataset.theme") == "dark"


def test_all_can_be_reached_by_keys_and_has_a_name(page):
    send(page, "echo:x")
    nameless = page.run("""[...document.querySelectorAll('button, select, textarea, input, a')].filter(e => e.checkVisibility())
      .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)""")
    assert nameless == []
    page.run("document.activeElement.blur()")
    page.press("?", code=191, modifiers=8)
    page.wait("document.getElementById('shortcuts').open")
    page.press("Escape")
    page.wait("!document.getElementById('shortcuts').open")
    page.press("/", code=191)
    assert page.run("document.activeElement.id") == "composer-text"
    assert page.run("document.getElementById('composer-text').value") == ""


def test_on_a_phone_the_list_opens_over_the_chat(page):
    page.size(390, 844, True)
    send(page, "echo:x")
    assert page.run("getComputedStyle(document.getElementById('side')).visibility") == "hidden"
    page.run("document.querySelector('[data-do=open-side]').click()")
    page.wait("document.getElementById('side').getBoundingClientRect().left === 0")
    page.run("document.querySelector('.chats .open').click()")
    page.wait("getComputedStyle(document.getElementById('side')).visibility === 'hidden'")
