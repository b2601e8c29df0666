"""Card of a publication: README.md in the form of a dataset card of Hugging Face, with what people should know of it.

A release of codes gets codebook.parquet beside it: `code` and the numbers z000, z001, ... that it stands for.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fl_tiprdc.data.crowd import Attribute
from fl_tiprdc.data.publication_store import CODEBOOK, DATASET_CARD, MANIFEST, read_manifest
from fl_tiprdc.release.channel import capacity_bits
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.whole_file import write_whole

MOST_CLASSES_NAMED = 8  # of an attribute
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
LARGER = "10M<n<100M"
BATCH = 10_000  # rows that `datasets` reads at a time; otherwise it takes the first part's number, which may be 0

ONE_LINERS = """from pathlib import Path

import datasets
import duckdb

folder = Path.cwd()  # where this card is; `datasets` takes no "."

table = datasets.load_dataset(str(folder), split="train").to_pandas()
table = duckdb.sql(f"from '{folder}/part-*.parquet' order by client, record").df()"""

PANDAS = """from pathlib import Path

import pandas as pd

folder = Path(".")  # where this card is
parts = sorted(folder.glob("part-*.parquet"))
codes = pd.concat([pd.read_parquet(part, columns=["client", "record", "code"]) for part in parts])
table = codes.merge(pd.read_parquet(folder / "codebook.parquet"), on="code")"""

DUCKDB = """import duckdb

folder = "."  # where this card is
table = duckdb.sql(f\"\"\"
    select client, record, codebook.*
    from (select client, record, code from '{folder}/part-*.parquet')
    join '{folder}/codebook.parquet' as codebook using (code)
    order by client, record
\"\"\").df()"""


@dataclass(frozen=True)
class PublicationFacts:
    """Holds what a card says and the manifest doesn't.

    Attributes:
        dataset: name of the data set.
        method: name of the method.
        attributes: private attributes that the release hides.
        codes: codebook and coupling of a release of codes; None: it publishes numbers.
        people: number of people whose records they are; None: it isn't known, as clients of a deployment don't tell.
        certificate: sentences, one for each attribute; none: nothing is certified.
        conditions: text on what the certificate covers and what it doesn't.
        note: text on private classes that are hidden only together with others.
        known: columns that attackers are taken to know, within whose levels codes hide as well.
        license: what people may do with the publication, as Hugging Face writes it.
    """

    dataset: str
    method: str
    attributes: tuple[Attribute, ...]
    codes: Codes | None = None
    people: int | None = None
    certificate: Sequence[str] = ()
    conditions: str = ""
    note: str = ""
    known: tuple[str, ...] = ()
    license: str = "unknown"


def write_card(folder: Path, facts: PublicationFacts) -> None:
    """Write the card of a whole publication, and its codebook if it is one of codes.

    Args:
        folder: folder of the publication, as `publish` wrote it.
        facts: facts that the manifest doesn't have.

    Raises:
        InputError: the folder holds no whole release.
    """
    records = sum(part["rows"] for part in read_manifest(folder).values())
    manifest = json.loads((folder / MANIFEST).read_text())
    checksum = "" if facts.codes is None else _write_codebook(folder, facts.codes)
    sections = [
        _front_matter(facts, records),
        _what_it_is(facts, records, manifest["clients"], len(manifest["refused"])),
        _columns(facts, manifest["d"], checksum),
        _hidden(facts, manifest["lam"], manifest["sigma"]),
        _attackers(facts, manifest["d"], manifest["sigma"]),
        _reading(facts),
        _asking_twice(facts, manifest["sigma"]),
        _license(facts.license),
    ]
    write_whole(folder / DATASET_CARD, ("\n\n".join(sections) + "\n").encode())


def _write_codebook(folder: Path, codes: Codes) -> str:
    """Write codebook.parquet, and return its SHA-256."""
    columns: dict[str, object] = {"code": np.arange(len(codes), dtype=np.uint16)}
    columns |= {f"z{i:03d}": np.ascontiguousarray(numbers) for i, numbers in enumerate(codes.codewords.T)}
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    data = memoryview(buffer.getvalue())
    write_whole(folder / CODEBOOK, data)
    return hashlib.sha256(data).hexdigest()


def _front_matter(facts: PublicationFacts, records: int) -> str:
    size = next((name for limit, name in SIZES if records < limit), LARGER)
    configs = [
        "- config_name: records",
        "  default: true",
        "  data_files: part-*.parquet",
        f"  batch_size: {BATCH}",
    ]
    if facts.codes is not None:
        configs += ["- config_name: codebook", f"  data_files: {CODEBOOK}"]
    kind = "discrete-codes" if facts.codes is not None else "representations"
    return "\n".join(
        [
            "---",
            f"pretty_name: {json.dumps(_title(facts), ensure_ascii=False)}",
            f"license: {facts.license}",
            "tags:",
            *(f"- {tag}" for tag in ("privacy", "federated-learning", "fl-tiprdc", kind)),
            "size_categories:",
            f"- {size}",
            "configs:",
            *configs,
            "---",
        ]
    )


def _license(name: str) -> str:
    if name == "unknown":
        return "## License\n\nThe publisher's to choose: put it in place of `unknown` at the top of this card."
    return f"## License\n\n`{name}`."


def _title(facts: PublicationFacts) -> str:
    what = "codes" if facts.codes is not None else "representations"
    names = [_line(attribute.name) for attribute in facts.attributes]
    return f"{_line(facts.dataset)}: {what} that hide {_listed(names)}"


def _what_it_is(facts: PublicationFacts, records: int, clients: int, refused: int) -> str:
    people = "" if facts.people is None else f" of {_count(facts.people, 'person', 'people')}"
    made = (
        f"one of {len(facts.codes):,} codes, with the numbers that the code stands for"
        if facts.codes is not None
        else "a row of numbers"
    )
    missing = (
        f" {_count(refused, 'client', 'clients')} more published nothing, or something that was refused."
        if refused
        else ""
    )
    return (
        f"# {_plain(_title(facts))}\n\n"
        f"{_count(records, 'record', 'records')}{people}, published by {_count(clients, 'client', 'clients')} of a "
        f"crowd.{missing} Of each record its client made {made}, on its own device, and published this alone: no raw "
        "record, no private attribute. What people do with the records is not known here; the release is made to keep "
        "as much else of a record as hiding allows."
    )


def _columns(facts: PublicationFacts, d: int, checksum: str) -> str:
    last = f"z{d - 1:03d}"
    numbers = "`z000`" if d == 1 else f"`z000` to `{last}`"
    rows = ["| `client` | which client published it |", "| `record` | its position at the client |"]
    if facts.codes is not None:
        rows.append(f"| `code` | 0 to {len(facts.codes) - 1} |")
    rows.append(f"| {numbers} | {'the numbers of its code' if facts.codes is not None else 'the representation'} |")
    text = (
        "## What is in it\n\n"
        "`part-*.parquet` has a file for each client, `release.json` their rows and SHA-256.\n\n"
        "| column | |\n| --- | --- |\n" + "\n".join(rows)
    )
    if facts.codes is not None:
        text += f"\n\n`{CODEBOOK}` has the numbers of each code once (SHA-256 `{checksum}`)."
    return text


def _hidden(facts: PublicationFacts, lam: float, sigma: float) -> str:
    attributes = "\n".join(f"- {_span(attribute.name)}: {_classes(attribute)}" for attribute in facts.attributes)
    how = f"Method {_span(facts.method)} at λ = {lam:g} (0: inform, 1: hide)"
    if facts.codes is not None:
        how += (
            ". The private class has a say in the code, so that classes use the codes in shares that are alike, the "
            "more so the larger λ; without it a code would follow from the record alone."
            if facts.codes.sees_private
            else ". Codes are made of the record alone; its private class has no say."
        )
    else:
        how += f", with noise of standard deviation {sigma:.3g} on every number." if sigma else ", without noise."
    if facts.known:
        known = _listed([_span(name) for name in facts.known])
        how += (
            f" So do they among people who are alike in {known}, for those who know that of a person; no certificate "
            "covers this, and rare values are joined."
        )
    note = f"\n\n{_plain(facts.note)}." if facts.note else ""
    return f"## What it hides, and how\n\n{attributes}\n\n{how}{note}"


def _attackers(facts: PublicationFacts, d: int, sigma: float) -> str:
    text = ["## What an attacker can find"]
    if facts.codes is not None:
        text.append(
            f"A code tells at most {facts.codes.bits:.1f} bits of its record, whoever looks, whatever they compute."
        )
    elif sigma:
        text.append(
            f"Numbers with this noise tell at most {capacity_bits(d, sigma):.1f} bits of their record, whoever looks, "
            "whatever they compute."
        )
    else:
        text.append("Numbers without noise have no limit to what they tell of their record.")
    if facts.certificate:
        text.append("\n".join(f"- {_plain(sentence)}" for sentence in facts.certificate))
        if facts.conditions:
            text.append(_plain(facts.conditions))
        text.append("`fl-tiprdc audit .` computes this again from the counts in `certificate.json`.")
    else:
        text.append(
            "Nothing is certified of how well private attributes are hidden. Attacks that were tried give a lower "
            "bound: somebody else's may find more."
        )
    if facts.codes is not None and facts.codes.sees_private:
        text.append(
            "Whoever knows some of a person's record already learns more of the private attribute from it together "
            "with the code than from it alone, since the private class had a say in the code."
        )
    return "\n\n".join(text)


def _reading(facts: PublicationFacts) -> str:
    text = (
        "## How to read it\n\nAny reader of Parquet opens it, `datasets` and DuckDB with one line each:\n\n"
        f"```python\n{ONE_LINERS}\n```"
    )
    if facts.codes is None:
        return text
    return (
        f"{text}\n\nRows have the code and its numbers; who keeps the codes alone joins the numbers to them again:\n\n"
        f"```python\n{PANDAS}\n```\n\nor\n\n```python\n{DUCKDB}\n```"
    )


def _asking_twice(facts: PublicationFacts, sigma: float) -> str:
    if facts.codes is None and not sigma:
        what = "The same numbers: nothing is drawn."
    else:
        drawn, same = ("code", "code") if facts.codes is not None else ("noise", "numbers")
        what = (
            f"The same {same}. A record's {drawn} is drawn once, with a secret of its client, and drawing again for "
            "this release gives the same."
        )
    return (
        f"## What asking twice gives\n\n{what} Another release of the same records, by another extractor or at another "
        "λ, is drawn anew; both together may tell more than either"
        + (", and no certificate of one covers both." if facts.certificate else ".")
    )


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number:,} {singular if number == 1 else plural}"


def _classes(attribute: Attribute) -> str:
    named = [_span(name) for name in attribute.classes[:MOST_CLASSES_NAMED]]
    more = len(attribute.classes) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _line(text: str) -> str:
    """Return the text of others on one line."""
    return " ".join(text.split())


def _span(text: str) -> str:
    """Return the text of others as code, in which no character is markup."""
    return f"`{_line(text).replace('`', chr(39))}`"


def _plain(text: str) -> str:
    """Return the text of others with characters escaped that are markup."""
    return re.sub(r"([\\`*_<>\[\]#|])", r"\\\1", _line(text))
