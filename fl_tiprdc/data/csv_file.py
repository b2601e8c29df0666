"""CSV files as people have them: usual separators and encodings, lines before the header, cells without a value."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd

from fl_tiprdc.data.column_values import WORDS_FOR_NOTHING, as_text
from fl_tiprdc.data.number_texts import PLAIN
from fl_tiprdc.errors import InputError
from fl_tiprdc.notices import count_rows, give_notice

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}  # the first of equally good ones is taken
SAMPLE = 200  # records that tell the separator and the number of columns
NAMELESS = "(column"  # with its number: a column without a name, such as the index that pandas writes
BYTE_ORDER_MARKS = {  # UTF-32's begins with UTF-16's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
CODE = r"0\d+|\d{16,}"  # leading zeros, or more digits than a float holds: a number would lose some


def read_csv(
    path: Path, missing: Collection[str] = (), wanted: Collection[str] | None = None, categories: Collection[str] = ()
) -> pd.DataFrame:
    """Read a CSV file.

    Lines before the header, columns without name and value, and lines that repeat the header are left out, with a
    notice. Numbers with leading zeros are codes, and stay text. A text column keeps `WORDS_FOR_NOTHING`, which may be
    classes; among numbers they are missing.

    Args:
        path: the file.
        missing: words that mean missing in every column.
        wanted: columns that will be used; None: all.
        categories: columns that are no numbers, whatever their values are.

    Raises:
        InputError: naming the line that cannot be read, or a wanted column that is there twice.
    """
    text = _decode(path, path.read_bytes())
    if "\0" in text:
        raise InputError(f"cannot read table '{path}': it is no text; save it as CSV in UTF-8")
    separator, text = _separator(text)
    header, body = _split(path, text, separator)
    if not body:
        return pd.DataFrame(columns=[name or f"{NAMELESS} {i})" for i, name in enumerate(header, 1)])
    frame = _typed(body, len(header), na_values=sorted(missing), low_memory=False)
    written = _typed(body, len(header), dtype=str, na_filter=False)
    empty = [i for i, name in enumerate(header) if not name and frame[i].isna().all()]
    if empty:
        give_notice(f"table '{path.name}': left out {len(empty)} columns without a name or a value")
    kept = [i for i in range(len(header)) if i not in empty]
    kept = [kept[i] for i in unrepeated(path, [header[i] for i in kept], wanted)]
    names = {i: header[i] or f"{NAMELESS} {i + 1})" for i in kept}
    words = [word for word in WORDS_FOR_NOTHING if word not in missing]
    codes: list[str] = []
    columns: dict[str, pd.Series] = {}
    for i, name in names.items():
        values, present = frame[i], frame[i].notna()
        said = ~present & written[i].isin(words)
        if not pd.api.types.is_numeric_dtype(values):
            values = values.astype(object).mask(said, written[i]) if said.any() else values
        elif name in categories and _says_more(written[i][present], values[present]):
            values = written[i].where(present | said)
        elif not pd.api.types.is_bool_dtype(values) and _holds_codes(written[i][present], values):
            values = written[i].where(present)
            codes.append(name)
        elif said.any() and name in categories:
            values = as_text(values).mask(said, written[i])
        elif said.any() and name in (wanted or ()):
            give_notice(
                f"column '{name}' is numbers, and in {count_rows(int(said.sum()))} '{written[i][said].iloc[0]}', which "
                'is missing; to have it as a class, set data.columns.NAME to "category"'
            )
        columns[name] = values
    if codes:
        told = ", ".join(f"'{name}'" for name in codes)
        give_notice(f"numbers with leading zeros, or of many digits, are codes, kept as they are written: {told}")
    return pd.DataFrame(columns)


def _typed(body: str, width: int, **options: Any) -> pd.DataFrame:
    """Parse rows with commas; columns are numbered from 0."""
    frame: pd.DataFrame = pd.read_csv(io.StringIO(body), header=None, names=range(width), index_col=False, **options)
    return frame


def unrepeated(path: Path, names: Sequence[str], wanted: Collection[str] | None) -> list[int]:
    """Return the positions of columns whose name is no other's; the others are left out with a notice.

    Columns without a name are all different.

    Raises:
        InputError: a name of `wanted` (None: any) is there twice.
    """
    counts = Counter(name for name in names if name)
    repeated = [name for name, count in counts.items() if count > 1]
    for name in repeated:
        if wanted is None or name in wanted:
            raise InputError(f"table '{path}' has {counts[name]} columns '{name}': give each a name of its own")
    if repeated:
        told = ", ".join(f"'{name}'" for name in repeated)
        give_notice(f"table '{path.name}': left out columns that share a name: {told}; give each a name of its own")
    return [i for i, name in enumerate(names) if name not in repeated]


def _says_more(texts: pd.Series, numbers: pd.Series) -> bool:
    """Return whether texts tell more apart than the numbers they stand for, or have a sign or exponent of a name."""
    return texts.nunique() > numbers.nunique() or bool(texts.str.contains("[+eE]").any())


def _holds_codes(texts: pd.Series, numbers: pd.Series) -> bool:
    """Return whether numbers that were written as `texts` would lose zeros or digits."""
    pattern = CODE if pd.api.types.is_float_dtype(numbers) else r"[+]?0\d+|[+]\d+"
    return bool(texts.str.fullmatch(pattern).any())


def _decode(path: Path, content: bytes) -> str:
    """Return the text of a file in UTF-8, UTF-16, UTF-32 or, with a notice, Windows-1252.

    Raises:
        InputError: it is in none of them.
    """
    marked = (name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark))
    start = content[:200]
    unmarked = "utf-16-le" if start[1::2].count(0) > len(start) / 4 else "utf-8"
    unmarked = "utf-16-be" if start[::2].count(0) > len(start) / 4 else unmarked
    encoding = next(marked, unmarked)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    if encoding in ("utf-8", "utf-8-sig"):
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            pass
        else:
            give_notice(
                f"table '{path.name}': line {line} is not UTF-8: read as Windows-1252 (Latin-1); "
                "save the file as UTF-8 if its letters come out wrong"
            )
            return text
    raise InputError(f"cannot read table '{path}': line {line} is not {encoding.upper()}; save the file as UTF-8")


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each record's first line, and its cells without the space around them; no blank lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    line = 1
    for record in reader:
        cells = [cell.strip() for cell in record]
        if len(cells) > 1 or any(cells):
            yield line, cells
        line = reader.line_num + 1


def _separator(text: str) -> tuple[str, str]:
    """Return what stands between values, and the text without a line like `sep=;` that says so."""
    said = re.match(r"\s*sep=(.)[ \t]*(?:\r\n|\n|\r)", text)
    if said:
        return said[1], "\n" * len(said[0].splitlines()) + text[said.end() :]

    def regularity(separator: str) -> float:
        widths = [len(cells) for _, cells in islice(_records(text, separator), SAMPLE)]
        width = _usual(widths)
        return widths.count(width) / len(widths) if width > 1 else 0.0

    return max(SEPARATORS, key=regularity), text


def _usual(widths: Sequence[int]) -> int:
    """Return the most frequent width, of equals the largest; 0 of none."""
    counts = Counter(widths)
    return max(counts, key=lambda width: (counts[width], width), default=0)


def _header(sample: Sequence[tuple[int, list[str]]]) -> int:
    """Return which record of a file's first ones is the header: the first that is no title, comment or date."""
    width = _usual([len(cells) for _, cells in sample])
    for i, (_, cells) in enumerate(sample):
        filled = sum(map(bool, cells))
        following = [others for _, others in sample[i + 1 :] if not others[0].startswith("#")][:2]
        comment = cells[0].startswith("#") and (len(cells) != width or _names_follow(following))
        alone = filled == 1 and len(cells) < width
        title = width > 2 and filled == 1 and bool(cells[0]) and any(sum(map(bool, c)) > 1 for c in following[:1])
        if filled and not (width > 1 and (comment or alone or title)):
            return i
    raise pd.errors.EmptyDataError


def _names_follow(records: Sequence[list[str]]) -> bool:
    """Return whether a record without numbers comes next, and after it one with some: names and values."""
    numbers = [any(re.fullmatch(PLAIN, cell) for cell in cells) for cells in records]
    return numbers == [False, True]


def _split(path: Path, text: str, separator: str) -> tuple[list[str], str]:
    """Return the names of the columns ("" where there is none), and the rows as CSV with commas.

    Raises:
        InputError: naming a line that has more values than there are names, or a quote without its end.
    """
    records = _records(text, separator)
    sample = list(islice(records, SAMPLE))
    place = _header(sample)
    first, header = sample[place]
    for line, cells in sample[:place]:
        if any(cells):
            give_notice(
                f"table '{path.name}': left out line {line}, which is no header: '{' '.join(cells).strip()[:60]}'"
            )
    body = io.StringIO()
    writer = csv.writer(body)
    left_out: dict[str, list[int]] = {"the header once more": [], "empty": [], "comments": []}
    short: list[int] = []
    named = max(i for i, name in enumerate(header, 1) if name)
    line = first
    for line, cells in chain(sample[place + 1 :], records):
        if cells == header:
            left_out["the header once more"].append(line)
        elif not any(cells):
            left_out["empty"].append(line)
        elif cells[0].startswith("#") and len(cells) < len(header):
            left_out["comments"].append(line)
        elif any(cells[len(header) :]):
            sign = SEPARATORS.get(separator, f"'{separator}'")
            raise InputError(
                f"cannot read table '{path}': line {line} has {len(cells)} values, the header in line {first} names "
                f"{len(header)} columns: name each column, put a value with a {sign} in quotes, and remove lines "
                "before the header"
            )
        else:
            if len(cells) < named:
                short.append(line)
            writer.writerow(cells[: len(header)])
    _check_quotes(path, text, separator)
    for what, lines in left_out.items():
        if lines:
            rows = count_rows(len(lines))
            give_notice(f"table '{path.name}': left out {rows}: {what}, first in line {lines[0]}")
    if short:
        give_notice(
            f"table '{path.name}': too few values in {count_rows(len(short))}, first in line {short[0]}: the last "
            "columns are missing there"
        )
    return header, body.getvalue()


def _check_quotes(path: Path, text: str, separator: str) -> None:
    """Check that no quote takes following lines for its value: one without an end, or one that another's begin ends.

    Raises:
        InputError: a quote does; it names the line.
    """
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        first = records.line_num + 1
        try:
            next(records)
        except StopIteration:
            return
        except csv.Error as error:
            if records.line_num > first or "end of data" in str(error):
                raise InputError(f"cannot read table '{path}': a quote in line {first} has no end") from None
