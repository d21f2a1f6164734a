"""The pages, rendered from the committed notebooks as they are: no warning, nothing missing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from book import build, pages


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The rendered book, by page name such as ``book/intro``."""
    folder = tmp_path_factory.mktemp("book")
    stage = folder / "stage"
    build.copy_sources(stage)
    shutil.copytree(build.ROOT / "notebooks", stage / "notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "STAGE", stage)  # where generated figures go
        build.fill(stage / "book", pages)
    options = ("-n", "-W", "--keep-going", "--path-output", folder)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", stage, *options]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    contents = yaml.safe_load((build.ROOT / "_toc.yml").read_text())
    entries = [entry for part in contents["parts"] for entry in part["chapters"]]
    names = [contents["root"], *(entry["file"] for entry in entries)]
    where = folder / "_build" / "html"
    return {name: (where / f"{name}.html").read_text(encoding="utf-8") for name in names}


def images(page):
    """The tags of the images in the page's own text, without logo and buttons."""
    article = page.split('<article class="bd-article">', 1)[1].split("</article>", 1)[0]
    return re.findall(r"<img[^>]*>", article)


def test_generated_parts_are_filled(html):
    for name, page in html.items():
        assert "generated:" not in page, name


def test_chapters_have_figures_and_a_launch_button(html):
    for chapter in build.chapters():
        page = html[f"notebooks/{chapter.stem}"]
        assert any("_images/" in image and ".png" in image for image in images(page))
        assert page.count("colab.research.google.com/github/invlib/invlib/blob/") >= 2
        assert "%pip" not in page  # the set-up cell is hidden


def test_every_image_has_alternative_text(html):
    for name, page in html.items():
        for image in images(page):
            alt = re.search(r'alt="([^"]*)"', image)
            assert alt, (name, image)
            assert alt[1], (name, image)
            assert "_images/" not in alt[1], (name, image)


def test_pages_ask_nothing_from_outside(html):
    for name, page in html.items():
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]*)"', page)
        loaded += re.findall(r'<link[^>]*rel="(?:stylesheet|preload)"[^>]* href="([^"]*)"', page)
        assert loaded
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], name
    mathematics = [page for page in html.values() if 'class="math' in page]
    assert mathematics, "no page with a formula: nothing says whether formulas need a network"
    assert all("_static/mathjax/tex-svg.js" in page for page in mathematics)
