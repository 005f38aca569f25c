"""Repository -> site: a hook of mkdocs.

Every page has the path that it has in the repository, so a link that works there works
on the site. The navigation names the first pages; what they link to comes along: pages,
files as they are, and folders as a list of what is in them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from page_links import links_of, place

ROOT = Path(__file__).parents[2]
HELP = re.compile(r"^```help\npython -m (?P<command>.+)\n```$", re.MULTILINE)
ROW = re.compile(r"(?<=`)[^`\n]*\\\|[^`\n]*(?=`)")  # GitHub wants \\| in code of tables
LOADED = re.compile(  # what a browser fetches by itself; links it does not follow
    r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"?(?P<source>(?:https?:)?//[^\s\">]+)"
    r"|<link\b(?=[^>]*\brel=\"?(?:stylesheet|preconnect|preload|icon))[^>]*\shref="
    r"\"?(?P<sheet>(?:https?:)?//[^\s\">]+)"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the navigation names, and all that can be reached from there."""
    waiting = [*pages_of(config.nav), config.theme["logo"]]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        text = ""
        if (ROOT / path).is_dir():
            text = list_folder(ROOT / path)
            path = f"{path}/index.md"
            files.append(File.generated(config, path, content=text))
        elif (ROOT / path).is_file():
            files.append(File(path, str(ROOT), config.site_dir, False))
            if path.endswith(".md"):
                text = (ROOT / path).read_text(encoding="utf-8")
        for target, _ in links_of(text):
            if target and (found := place(path, target)) not in seen:
                seen.add(found)
                waiting.append(found)
    return files


def pages_of(nav: Any) -> Iterator[str]:
    """Give the paths in a navigation, however deep."""
    if isinstance(nav, str):
        yield nav
    else:
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from pages_of(each)


def list_folder(folder: Path) -> str:
    """Give the page of a folder: its files, each with a link; folders likewise."""
    names = sorted(
        each.name for each in folder.iterdir() if not each.name.startswith(("_", "."))
    )
    lines = [f"- [{name}]({name})" for name in names]
    return "\n".join([f"# {folder.relative_to(ROOT)}", "", *lines, ""])


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Lead links to a folder to its page, and let programs say what they take."""
    for path in {path for path, _ in links_of(markdown) if path}:
        if (ROOT / place(page.file.src_uri, path)).is_dir():
            markdown = markdown.replace(f"]({path})", f"]({path.rstrip('/')}/index.md)")
    markdown = ROW.sub(lambda match: match[0].replace(r"\|", "|"), markdown)
    return HELP.sub(lambda match: run_help(match["command"]), markdown)


def run_help(command: str) -> str:
    """Give what a command says of itself, as a block of code.

    Raises:
        PluginError: If it says nothing.
    """
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PluginError(f"python -m {command}: {done.stderr}")
    return f"```text\n$ python -m {command}\n{done.stdout}```"


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that is not whole without a network.

    Raises:
        PluginError: If a browser would fetch something from elsewhere.
    """
    for match in LOADED.finditer(output):
        raise PluginError(f"{page.file.src_uri}: fetches {match[1] or match[2]}")
    return output
