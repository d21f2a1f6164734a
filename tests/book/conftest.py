"""What the tests of the pages share."""

import re

import pytest


@pytest.fixture(scope="session")
def records():
    """Reads a Markdown table: a dictionary for each row, without the tags in its cells."""

    def read(text):
        lines = re.findall(r"^\|(.*)\|$", re.sub(r"</?span[^>]*>", "", text), re.M)
        header, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
        return [dict(zip(header, row, strict=True)) for row in rows]

    return read
