"""A real browser for the tests of pages, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .conftest import oracle, oracle_module

# As root, without a network, and without Chromium's own requests.
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """Headless Chromium, driven by Playwright."""
    playwright, program = oracle_module("playwright.sync_api"), oracle("chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*_ARGUMENTS, *arguments])
        yield browser
        browser.close()


def until(page: Any, expression: str, *arguments: Any, seconds: float = 10) -> None:
    """Wait until something holds; a page's strict policy forbids Playwright's way, which evaluates texts inside it."""
    for _ in range(int(20 * seconds)):
        if page.evaluate(expression, *arguments):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {expression}")
