"""Opens pages in a browser, and collects what goes wrong in them."""

from __future__ import annotations

from playwright.sync_api import Browser, Page


class OpenPage:
    """Opens pages; at the end no page may have had an error that its test does not expect."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._pages: list[Page] = []
        self.errors: list[str] = []

    def __call__(
        self, url: str, *, width: int = 1280, height: int = 860, scheme: str = "light"
    ) -> Page:
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            timezone_id="UTC",
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if _counts(line.text) else ())
        page.goto(url)
        self._pages.append(page)
        return page

    def close(self) -> None:
        for page in self._pages:
            page.context.close()
        assert self.errors == []


def _counts(line: str) -> bool:
    """Whether a line of the console is a fault of the page, and not an answer that was refused."""
    return not line.startswith("Failed to load resource")
