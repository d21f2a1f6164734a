"""What a chapter needs to say a number: sentences computed in the cell, and glue for the text."""

from IPython.display import Markdown, display


def glue(**values: object) -> None:
    """Keep values under their names, for ``{glue:text}`` in the chapter's and other pages' prose.

    The record of myst-nb's ``glue``, which a Colab reader does not have.
    """
    for name, value in values.items():
        prefix = "application/papermill.record/"
        display(
            {f"{prefix}text/plain": repr(value)},
            raw=True,
            metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
        )


def finding(sentence: str) -> Markdown:
    """The finding of a figure, in bold."""
    return Markdown(f"**{sentence}**")
