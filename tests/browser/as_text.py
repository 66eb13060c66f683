"""Whether hostile text has stayed text on a page that is open, and whether it leaves alone what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping

from playwright.sync_api import Page

from tests.security.hostile import MARK, REQUESTED

# Of the page that is open, or of each of the sources, which are parsed and not shown.
BECOME = """
([sources, mark, requested]) => {
  const leads = /^(href|src|srcset|action|formaction|poster|data|hx-(get|post|put|patch|delete))$/;
  const isOurs = (element) => element.matches("script[src]") && element.src.startsWith(`${location.origin}/static/`);
  const isWrong = (element, name) => /^(on|hx-on)/.test(name) || name === mark
    || (leads.test(name) && /^[\\s\\0-\\x1f]*(javascript|data|vbscript):/i.test(element.getAttribute(name)))
    || (name.startsWith("hx-") && element.getAttribute(name) === requested);
  const isElement = (element) =>
    element.matches("script, style, base, iframe, object, embed, meta[http-equiv]") && !isOurs(element);
  const become = (page) => {
    const roots = [page, ...[...page.querySelectorAll("template")].map((one) => one.content)];
    const elements = roots.flatMap((root) => [...root.querySelectorAll("*")])
      .filter((element) => isElement(element) || element.getAttributeNames().some((name) => isWrong(element, name)));
    const comments = page.createTreeWalker(page, NodeFilter.SHOW_COMMENT);
    const found = elements.map((element) => element.outerHTML.slice(0, 200));
    while (comments.nextNode()) found.push(`<!--${comments.currentNode.data.slice(0, 200)}-->`);
    if (page.querySelectorAll("#main").length > 1) found.push("#main is there twice");
    if (page.documentElement.textContent.includes('49" hx-get')) found.push("a template was carried out");
    return found;
  };
  const parser = new DOMParser();
  return sources === null ? [become(document)] : sources.map((one) => become(parser.parseFromString(one, "text/html")));
}
"""

# What follows such a text in its line, where neither an element of its own nor marks that close it keep it apart.
TURNS_ROUND = """
() => {
  const style = (element) => getComputedStyle(element);
  const isInline = (element) => /^(inline|contents)$/.test(style(element).display);
  const isApart = (element) => !isInline(element) || /^(isolate|plaintext)/.test(style(element).unicodeBidi);
  const up = (node, is) => { let one = node.parentElement; while (!is(one)) one = one.parentElement; return one; };
  const line = (node) => up(node, (element) => !isInline(element));
  const nodes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) nodes.push(walker.currentNode);
  const follows = (from, to) => {
    const between = document.createRange();
    between.setStartAfter(from);
    between.setEndBefore(to);
    return line(from) === line(to) && !between.cloneContents().querySelector("br");
  };
  return nodes.flatMap((node, index) => {
    if (!node.data.includes("\\u202e") || node.parentElement.closest("textarea, option")) return [];
    const scope = up(node, isApart);
    const behind = nodes.slice(index + 1).filter((one) => scope.contains(one) && follows(node, one));
    const text = [node.data.split("\\u202dpu").at(-1), ...behind.map((one) => one.data)].join("").trim();
    const isClosed = !text || text.startsWith("\\u202c\\u2069\\u202c");
    return isClosed ? [] : [`“${text.slice(0, 60)}” is turned round in ${scope.outerHTML.slice(0, 60)}`];
  });
}
"""


def look(page: Page) -> list[str]:
    """What of the hostile text is more than text on the page as it stands."""
    found = page.evaluate(BECOME, [None, MARK, REQUESTED])[0] + page.evaluate(TURNS_ROUND)
    return [f"{page.url}: {one}" for one in found]


def look_through(page: Page, sources: Mapping[str, str]) -> list[str]:
    """The same of pages and parts of pages that were not opened, by where they came from; the browser parses them."""
    found = page.evaluate(BECOME, [list(sources.values()), MARK, REQUESTED])
    return [f"{name}: {one}" for name, of_source in zip(sources, found, strict=True) for one in of_source]
