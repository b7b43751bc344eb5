"""What a person at a browser would notice: errors, foreign requests, controls without a name, text too faint to read."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe

from tests.worlds import PASSWORD

LAUNCH_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Playwright's own browser, where it was installed, else the system's.
SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_chromium(own: str) -> str | None:
    """The path of a Chromium that can be started; `own` is where Playwright would have its own."""
    if Path(own).exists():
        return own
    return next((path for name in SYSTEM_BROWSERS if (path := shutil.which(name))), None)


# What the law asks for, and nothing that is a matter of taste.
AXE_OPTIONS = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
AXE = Axe()

# Every fault of the page in words; an empty list is a good page.
ACCESSIBILITY = """
() => {
  const faults = [];
  const shown = (el) => !!(el.offsetWidth || el.offsetHeight || el.getClientRects().length)
    && getComputedStyle(el).visibility !== "hidden";
  const text = (el) => {
    const copy = el.cloneNode(true);
    copy.querySelectorAll("[aria-hidden=true], script, style").forEach((part) => part.remove());
    return copy.textContent.trim();
  };
  const name = (el) => {
    if ((el.getAttribute("aria-label") || "").trim()) return el.getAttribute("aria-label");
    const ids = (el.getAttribute("aria-labelledby") || "").split(/\\s+/).filter(Boolean);
    const labelled = ids.map((id) => document.getElementById(id)).filter(Boolean).map(text).join(" ").trim();
    if (labelled) return labelled;
    if (el.labels && [...el.labels].some((label) => text(label))) return "label";
    if (el.title) return el.title;
    if (el.tagName === "INPUT" && ["submit", "button"].includes(el.type)) return el.value;
    return ["A", "BUTTON", "SUMMARY"].includes(el.tagName) || el.getAttribute("role") ? text(el) : "";
  };
  if (!document.documentElement.lang) faults.push("the page has no language");
  if (!document.title.trim()) faults.push("the page has no title");
  if (document.querySelectorAll("h1").length !== 1) faults.push("the page has not one h1");
  if (document.querySelectorAll("main").length !== 1) faults.push("the page has not one main");
  let level = 0;
  document.querySelectorAll("h1, h2, h3, h4").forEach((el) => {
    if (!shown(el)) return;
    const now = Number(el.tagName[1]);
    if (now > level + 1) faults.push(`heading ${el.textContent.trim().slice(0, 40)} skips from h${level} to h${now}`);
    level = now;
  });
  const controls = "a[href], button, summary, input:not([type=hidden]), select, textarea, [role=combobox], [role=button]";
  document.querySelectorAll(controls).forEach((el) => {
    if (!shown(el) || el.closest("[aria-hidden=true]") || el.classList.contains("select2-hidden-accessible")) return;
    if (!(name(el) || "").trim()) faults.push(`no name: ${el.outerHTML.slice(0, 160)}`);
  });
  document.querySelectorAll("img:not([alt])").forEach((el) => faults.push(`no alt: ${el.outerHTML.slice(0, 100)}`));
  document.querySelectorAll("[x-on\\\\:click], [onclick]").forEach((el) => {
    if (shown(el) && !["A", "BUTTON", "SUMMARY", "INPUT", "LABEL", "DIALOG"].includes(el.tagName))
      faults.push(`only for the mouse: ${el.outerHTML.slice(0, 160)}`);
  });
  const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
  new Set(ids.filter((id, place) => ids.indexOf(id) !== place)).forEach((id) => faults.push(`the id ${id} is there twice`));
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (c) => [0, 1, 2].map((i) => c[i] / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (el) => {
    for (let now = el; now; now = now.parentElement) {
      const style = getComputedStyle(now);
      if (style.backgroundImage !== "none") return null;
      const color = rgb(style.backgroundColor);
      if (color[3] > 250) return color;
      if (color[3] > 0) return null;
    }
    return rgb(getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "black" : "white");
  };
  const faint = new Set();
  document.querySelectorAll("body *").forEach((el) => {
    const own = [...el.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !shown(el) || el.closest("[aria-hidden=true], .bo-hidden, .bo-skip, svg, script, style, option")) return;
    const ground = behind(el), style = getComputedStyle(el);
    if (!ground || Number(style.opacity) < 1) return;
    const [a, b] = [light(rgb(style.color)), light(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) faint.add(`${ratio.toFixed(1)}: ${el.tagName.toLowerCase()}.${el.className}`.slice(0, 120));
  });
  faint.forEach((text) => faults.push(`too faint ${text}`));
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) faults.push(`wider than the window: ${wide}`);
  return faults;
}
"""


@dataclass
class Visitor:
    """A page of the browser that notes what should not happen."""

    page: Any
    base: str
    faults: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"{self.page.url}: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{self.page.url}: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.foreign.append(request.url)

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status} {response.url}")

    def go(self, path: str) -> None:
        self.page.goto(self.base + path)
        self.page.wait_for_load_state("networkidle")

    def sign_in(self, email: str) -> None:
        self.go("/admin/login/")
        self.page.get_by_label("E-mail address").fill(email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Home", exact=True).wait_for()
        self.page.wait_for_load_state("networkidle")

    def choose(self, label: str, term: str, option: str) -> None:
        """Pick a record by typing into a search select: wait for the answer to what was typed, and for the choice."""
        page = self.page
        control = page.get_by_role("combobox", name=re.compile(rf"^{label}\b"))
        control.click()
        # Opening asks too; its answer must not come after that of the term.
        page.locator(
            ".select2-results__option:not(.loading-results, .select2-results__message)"
        ).first.wait_for()
        with page.expect_response(lambda answer: f"term={term}" in answer.url):
            page.get_by_role("searchbox", name="Search", exact=True).fill(term)
        page.get_by_role("option", name=option).click()
        control.filter(has_text=option).wait_for()

    def shoot(self, name: str) -> None:
        """A picture for people, where `SCREENSHOTS` names a folder."""
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def accessibility_faults(self) -> list[str]:
        return list(self.page.evaluate(ACCESSIBILITY))

    def axe_violations(self) -> list[str]:
        """What axe finds against WCAG 2 A and AA: the rule, what is wrong, where."""
        return [
            f"{violation['id']}: {violation['help']}: {node['target']} {node['html'][:160]}"
            for violation in AXE.run(self.page, options=AXE_OPTIONS).response["violations"]
            for node in violation["nodes"]
        ]
