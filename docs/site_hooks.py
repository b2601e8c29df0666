"""What MkDocs does beside: pages of the navigation that aren't there, links out of docs/, equations, settings."""

import inspect
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File
from pydantic import BaseModel

from fl_tiprdc.config import Experiment

ROOT = Path(__file__).resolve().parent.parent
PICTURE = re.compile(r"!\[[^\]]*\]\(\.\./(results/reference/[^)]+\.png)\)")
LINK = re.compile(r"!?\[([^\]]*)\]\((\.\./[^)\s#]+)(#[^)]*)?\)")
CODE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)|^(?: {4}|\t).*?$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
DISPLAY, INLINE = re.compile(r"^\$\$(.+?)\$\$$", re.MULTILINE | re.DOTALL), re.compile(r"\$([^$\n]+)\$")
SETTINGS = "<!-- settings -->"


def on_config(config: Any) -> Any:
    """The navigation without the pages that aren't there."""
    docs = Path(config["docs_dir"])

    def there(entries: list[Any]) -> list[Any]:
        kept: list[Any] = []
        for entry in entries:
            if isinstance(entry, dict):
                kept += [{title: there(pages)} for title, pages in entry.items()]
            elif (docs / entry).is_file():
                kept.append(entry)
        return kept

    config["nav"] = there(config["nav"])
    return config


def on_files(files: Any, config: Any) -> Any:
    """The figures that pages show of the reference results."""
    pages = Path(config["docs_dir"]).rglob("*.md")
    names = {name for page in pages for name in PICTURE.findall(page.read_text(encoding="utf-8"))}
    for name in sorted(names):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Equations as MathML; links to files that are no pages as their names; the table of settings."""
    folder = Path(page.file.abs_src_path).parent

    def link(found: re.Match[str]) -> str:
        target = (folder / found[2]).resolve()
        if PICTURE.fullmatch(found[0]):
            return found[0].replace("(../", "(")  # `on_files` puts it there
        if target.is_relative_to(config["docs_dir"]):
            return found[0]
        if not target.exists():
            return found[0]  # MkDocs says so
        return f"{found[1]} (`{target.relative_to(ROOT)}`)"

    parts = CODE.split(markdown)  # text, code, text, ...
    parts[::2] = [_equations(LINK.sub(link, part)) for part in parts[::2]]
    return "".join(parts).replace(SETTINGS, "\n".join(_settings(Experiment)))


def _equations(text: str) -> str:
    text = DISPLAY.sub(lambda found: convert(" ".join(found[1].split()), display="block"), text)
    # in a span: Markdown takes a line that begins with <math> for a block of its own
    return INLINE.sub(lambda found: f"<span>{convert(found[1])}</span>", text)


def _settings(model: type[BaseModel], table: str = "") -> list[str]:
    """A section for each table of settings."""
    head = f"## [{table}]" if table else "## At the top of the file"
    lines = [
        head,
        "",
        *([inspect.cleandoc(model.__doc__ or ""), ""] if table else []),
        "| setting | default | |",
        "| --- | --- | --- |",
    ]
    below: list[str] = []
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            below += ["", *_settings(type(field.default), name)]
        else:
            lines.append(f"| `{name}` | `{_default(field.default)}` | {field.description} |")
    return lines + below


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
