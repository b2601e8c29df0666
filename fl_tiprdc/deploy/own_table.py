"""A client's own table, made ready for a deployment; it stays on the client's machine.

fl-tiprdc deploy own-table patients.csv --description description.json --output client

The description is the coordinator's (fl-tiprdc deploy describe), the same for all clients: which columns there
are, how they are scaled, and what is private. The table has these columns; others are not looked at.
"""

from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.data.crowd_files import read_description
from fl_tiprdc.data.described_table import records_of
from fl_tiprdc.data.table_file import read_table
from fl_tiprdc.federated.node_store import write_node_store


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, encode, write, say how much."""
    parser = Parser(__doc__ or "")
    parser.add_argument("table", type=Path, help="a .csv or .parquet file")
    parser.add_argument("--description", type=Path, required=True, help="the coordinator's description.json")
    parser.add_argument("--output", type=Path, required=True, help="the client's folder")
    parsed = parser.parse_args(arguments)
    description = read_description(parsed.description)
    columns = [column.missing_in or column.name for column in description.columns]
    frame = read_table(parsed.table, wanted=[*columns, *(attribute.name for attribute in description.attributes)])
    records = records_of(frame, description)
    write_node_store(parsed.output, records, description)
    left_out = len(frame) - len(records)
    print(f"{parsed.output}: {len(records)} records, {left_out} rows without private values left out")
