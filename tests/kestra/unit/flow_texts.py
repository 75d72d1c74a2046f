"""Documents of flows, and the many ways in which an author may write them."""

from typing import Any

import yaml
from hypothesis import strategies as st

# YAML holds any character but these.
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\ufffe\uffff")
    | st.sampled_from("\n\t :#-'\"{}[]&*!|>%@`"),
    max_size=40,
)
_NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,11}", fullmatch=True).filter(
    lambda name: name not in ("pause", "resume", "kill", "search", "source", "disable", "enable")
)
# Lines that look like the names of a flow, within what is none.
_CONFUSING = st.sampled_from(
    ["id: x\nnamespace: y\n", "\nid: other\n", "disabled: true", "triggers:\n- id: x\n", "größe 🚕"]
)
_VALUES = st.recursive(
    TEXT | _CONFUSING | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=5,
)
_TRIGGERS = st.lists(
    st.fixed_dictionaries(
        {"id": _NAMES}, optional={"disabled": st.booleans(), "cron": TEXT, "inputs": _VALUES}
    ),
    max_size=3,
)
_PAIRS = st.fixed_dictionaries({"key": _NAMES, "value": TEXT})
_LABELS = st.dictionaries(_NAMES, TEXT, max_size=3) | st.lists(
    _PAIRS, max_size=3, unique_by=lambda pair: pair["key"]
)


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    document = draw(
        st.fixed_dictionaries(
            {"id": _NAMES, "namespace": _NAMES, "tasks": st.lists(_VALUES, max_size=3)},
            optional={
                "description": TEXT | _CONFUSING,
                "labels": _LABELS,
                "variables": _VALUES,
                "triggers": _TRIGGERS | st.none(),
                "disabled": st.booleans(),
            },
        )
    )
    return {key: document[key] for key in draw(st.permutations(list(document)))}


DOCUMENTS = _documents()


@st.composite
def texts(draw: st.DrawFn, document: dict[str, Any] | None = None) -> str:
    """Draws a text of a document, or of any."""
    document = draw(DOCUMENTS) if document is None else document
    style = draw(st.sampled_from(["", '"', "'", "|", ">"]))
    parts = [
        yaml.safe_dump(
            {key: value},
            allow_unicode=draw(st.booleans()),
            default_style=style
            if key not in ("id", "namespace")
            else draw(st.sampled_from(["", '"'])),
            default_flow_style=draw(st.booleans()),
            indent=draw(st.sampled_from([2, 4])),
            width=draw(st.sampled_from([20, 80, 10**6])),
            sort_keys=False,
        )
        for key, value in document.items()
    ]
    is_flow = draw(st.booleans())
    if all(part.startswith("{") for part in parts) and is_flow:
        return "{" + ",\n ".join(part.strip()[1:-1] for part in parts) + "}\n"
    # One that stands deeper, or an empty line, would belong to a block scalar before it.
    comments = st.sampled_from(["", "# id: größe 🚕\n", " # deep\n\n"])
    return draw(comments) + "".join(
        _block(part, key) + draw(comments) for key, part in zip(document, parts, strict=True)
    )


def _block(part: str, key: str) -> str:
    """Returns a mapping of one key without its braces."""
    return f"{part.strip()[1:-1]}\n" if part.startswith("{") else part
