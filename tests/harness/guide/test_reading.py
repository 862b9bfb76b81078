"""Renderings of the same text read alike, and other texts do not."""

import pytest

from harness.guide.reading import VERSION, read, squeezed


def in_fence(text: str) -> str:
    return f"```code\n{text}\n```\n"


@pytest.mark.parametrize(
    ("rendering", "plain"),
    [
        pytest.param("Run  it\nnow.\n\n\tOr later.", "Run it now. Or later.", id="white space"),
        pytest.param("the\ntctland\ntsh", "the tctl and tsh", id="words glued by a page"),
        pytest.param(
            "It\u2019s \u201cdone\u201d \u2013 wait\u2026", 'It\'s "done" - wait...', id="typography"
        ),
        pytest.param("## Next steps", "Next steps", id="heading"),
        pytest.param("- one\n* two\n", "one two", id="list"),
        pytest.param('<Var name="kube-cluster" initial="x"/> is', "kube-cluster is", id="variable"),
        pytest.param("See [the\nguide](https://example.com/a_b).", "See the guide.", id="link"),
        pytest.param(
            '<Tabs>\n<TabItem label="Using it">\nText\n</TabItem></Tabs>', "Using it Text", id="tabs"
        ),
        pytest.param('<Admonition type="tip" title="Mind">x</Admonition>', "Mind x", id="admonition"),
        pytest.param("a {/* not\nshown */}b <!-- nor this -->", "a b", id="comments"),
        pytest.param('(!docs/pages/x.mdx version="1"!)text', "text", id="include"),
        pytest.param("<details><summary>More</summary>x</details>", "More x", id="html"),
        pytest.param("Helm >= (=helm.version=)", "Helm >= 3.4.2", id="site value"),
        pytest.param("version (=teleport.version=) or", "version 17.0.0-dev or", id="version"),
        pytest.param("to [email\u00a0protected] now", "to email@example.com now", id="hidden address"),
        pytest.param("---\ntitle: T\ntags:\n - x\n---\ntext", "T text", id="front matter"),
    ],
)
def test_renderings_read_alike(rendering: str, plain: str) -> None:
    assert read(rendering).text == read(plain).text


@pytest.mark.parametrize(
    ("rendering", "plain"),
    [
        pytest.param("1. **Run** the `tool`, _now_.", "Run the tool, now.", id="emphasis and numbers"),
        pytest.param("> Quoted \\> text &amp; more", "Quoted > text & more", id="escapes"),
        pytest.param("import X from 'y'\ntext", "text", id="import"),
        pytest.param(":::tip\ntext\n:::", "text", id="directive"),
    ],
)
def test_markup_is_prose_only_where_code_is_marked(rendering: str, plain: str) -> None:
    assert read(f"{rendering}\n{in_fence('x')}").text == read(plain).text + "x"


@pytest.mark.parametrize(
    "text",
    [
        'join ("\\n")',
        r"sed -e 's/^https:\/\///'",
        r'--set roles="kube\,app"',
        "'*': '*'",
        "cat >x <<EOF\n<User name='a'>\nEOF",
        "a __name__ b",
    ],
)
def test_code_keeps_what_looks_like_markup(text: str) -> None:
    assert squeezed(text) == "".join(text.split())


def test_prompts_continuations_and_comment_marks_do_not_count() -> None:
    assert squeezed("$ a \\\n  --b # why \\\n  --c") == "a--bwhy--c"


def test_the_version_is_what_helm_is_told() -> None:
    text = "helm install x --version 18.7.6. Needs version 18.7.6, Helm 3.4.2."
    assert read(text).text.count(VERSION) == 2
    assert "3.4.2" in read(text).text
    assert read("Needs 18.7.6").text == "Needs18.7.6"


def test_a_place_leads_back_to_the_source() -> None:
    reading = read('one\n\n<Var name="two"/>\nthree\n')
    assert reading.text == "onetwothree"
    assert reading.line(reading.text.index("two")) == 3
    assert reading.excerpt(3, 6) == "two"
    assert reading.excerpt(6, 11) == "three"


def test_code_is_what_stands_between_fences() -> None:
    reading = read(f"prose `inline`\n\n   ```code\n   $ one\n   $ two\n   ```\nafter {in_fence('three')}")
    assert reading.is_marked
    coded = "".join(c for at, c in enumerate(reading.text) if reading.is_code(at))
    assert coded == "onetwo"
    assert reading.is_border(reading.text.index("one"))
    assert reading.is_border(reading.text.index("two"))
    assert not reading.is_border(reading.text.index("wo"))
    assert not read("`a` b").is_marked


def test_an_open_fence_lasts_to_the_end() -> None:
    reading = read("a\n~~~\nb\n```\n")
    assert [reading.is_code(at) for at in range(len(reading.text))] == [False, True]


def test_what_the_site_fills_in_is_named() -> None:
    reading = read("(=helm.version=) (=other=) (!a/b.mdx!)")
    assert reading.unfilled == ("helm.version",)
    assert "(=other=)" in reading.text
    assert reading.includes == ("a/b.mdx",)
