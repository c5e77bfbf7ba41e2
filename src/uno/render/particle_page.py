"""The page in a particle's package: opens from a folder, without a network, on a phone too.

It loads nothing: style, QR codes and text are in the one file.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from string import Template
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One cell as the page shows it. `file` is the name of its files, without their endings.

    `svg` is the drawing of its code, None where the configuration is too long for one.
    """

    cell: str
    endpoint: str
    owner: str | None
    file: str
    svg: str | None = field(repr=False)


def render(*, uvn: str, particle: str, ways: Sequence[Way]) -> str:
    """Return the page. Every name is escaped; `svg` alone is taken as it is."""
    return _PAGE.substitute(
        uvn=escape(uvn),
        particle=escape(particle),
        style=_STYLE,
        ways=_ways(ways) if ways else _NO_WAYS,
        guide=_guide(ways[0]) if ways else "",
    )


def _ways(ways: Sequence[Way]) -> str:
    cards = "\n".join(
        _CARD.substitute(
            cell=escape(way.cell),
            endpoint=escape(way.endpoint),
            owner=_OWNER.substitute(owner=escape(way.owner)) if way.owner else "",
            code=_CODE.substitute(svg=way.svg) if way.svg else _NO_CODE,
            images=_IMAGES.substitute(file=escape(quote(way.file))) if way.svg else "",
            file=escape(quote(way.file)),
        )
        for way in ways
    )
    return _WAYS.substitute(cards=cards)


def _guide(way: Way) -> str:
    return _GUIDE.substitute(
        cell=escape(way.cell),
        file=escape(way.file),
        source=escape(shlex.quote(f"{way.file}.conf")),
        name=escape(shlex.quote(way.file)),
    )


_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>$particle in $uvn</title>
<style>
$style
</style>
</head>
<body>
<header>
<p class="uvn">$uvn</p>
<h1>$particle</h1>
<p>Connect this device to the network with the WireGuard app.</p>
</header>
<main>
$ways
$guide
</main>
</body>
</html>
""")

_WAYS = Template("""\
<p class="secret"><strong>Keep this page to yourself.</strong> Each code below is a key to the
network. Delete the package once your device has what it needs; if it got into other hands, ask
the owner of the network for new keys.</p>
<h2>Where to connect</h2>
<p>Add as many as you like. Your device has the same address at each of them, so switch on one at
a time.</p>
<div class="cards">
$cards
</div>""")

_CARD = Template("""\
<article>
<h3>$cell</h3>
$code
<dl>
<div><dt>Endpoint</dt><dd><code>$endpoint</code></dd></div>$owner
</dl>
<p class="files">
<a class="main" href="$file.conf" download="$file.conf">Configuration</a>$images
</p>
</article>""")

_CODE = Template('<div class="code">$svg</div>')
_NO_CODE = """\
<p>This network has too many LANs for a QR code: import the configuration file instead.</p>"""
_IMAGES = Template("""
<a href="$file.png">PNG</a> <a href="$file.svg">SVG</a>""")

_OWNER = Template("""
<div><dt>Run by</dt><dd>$owner</dd></div>""")

_NO_WAYS = """\
<section class="none">
<h2>There is nowhere to connect yet</h2>
<p>No cell of this network takes connections from devices: none has both a public address and its
particle VPN switched on. Ask the owner of the network, and get this package again when one
has.</p>
</section>"""

_GUIDE = Template("""\
<h2>How to add it to a device</h2>
<details open>
<summary>iPhone and iPad</summary>
<ol>
<li>Install <b>WireGuard</b> from the App Store.</li>
<li>Tap <b>+</b>, then <b>Create from QR code</b>, and point the camera at a code on this page.</li>
<li>Name it after the cell, such as <b>$cell</b>, allow the VPN configuration, and switch it
on.</li>
</ol>
<p>If this page is on the same phone, share the configuration file to WireGuard instead.</p>
</details>
<details open>
<summary>Android</summary>
<ol>
<li>Install <b>WireGuard</b> from the Play Store or F-Droid.</li>
<li>Tap <b>+</b>, then <b>Scan from QR code</b>, and point the camera at a code on this page.</li>
<li>Name it after the cell, such as <b>$file</b> (at most 15 characters), and switch it on.</li>
</ol>
<p>If this page is on the same phone, choose <b>Import from file or archive</b> and pick a
configuration file.</p>
</details>
<details open>
<summary>Linux</summary>
<ol>
<li>Install <code>wireguard-tools</code>.</li>
<li>Copy the configuration file, for root alone:
<pre>sudo install -D -m 600 -t /etc/wireguard $source</pre></li>
<li>Connect, and disconnect:
<pre>sudo wg-quick up $name
sudo wg-quick down $name</pre></li>
</ol>
<p>With NetworkManager instead, which connects at once:</p>
<pre>sudo nmcli connection import type wireguard file $source
sudo nmcli connection down $name
sudo nmcli connection up $name</pre>
</details>
<details open>
<summary>macOS and Windows</summary>
<ol>
<li>Install <b>WireGuard</b> from the App Store (macOS) or from the WireGuard web site.</li>
<li>Choose <b>Import tunnel(s) from file</b>, pick the configuration file, and activate it.</li>
</ol>
</details>""")

_STYLE = """\
:root { color-scheme: light dark; --ground: #f4f5f7; --card: #fff; --text: #1b1f27;
  --quiet: #5a6372; --line: #dde1e7; --accent: #0b5fbd; --on-accent: #fff; --warn: #fff4d9;
  --warn-line: #e6b83c; }
@media (prefers-color-scheme: dark) { :root { --ground: #12151b; --card: #1c212a; --text: #e7eaf0;
  --quiet: #9ba5b5; --line: #313947; --accent: #7db7ff; --on-accent: #0c1420; --warn: #332a10;
  --warn-line: #8f7426; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header, main { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
main { padding-bottom: 3rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
h1 { font-size: 2.1rem; margin: 0; }
h2 { font-size: 1.3rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1.15rem; margin: 0 0 .75rem; }
header p { margin: .35rem 0 0; color: var(--quiet); }
header .uvn { font-weight: 600; letter-spacing: .02em; margin: 0; overflow-wrap: anywhere; }
.secret { background: var(--warn); border: 1px solid var(--warn-line); border-radius: .6rem;
  padding: .8rem 1rem; margin: 1.5rem 0 0; max-width: 46rem; }
.cards { display: grid; gap: 1rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
article, details, .none { background: var(--card); border: 1px solid var(--line);
  border-radius: .8rem; padding: 1.1rem; }
.none { margin-top: 1.5rem; max-width: 46rem; }
.none h2 { margin-top: 0; }
.none p { margin-bottom: 0; }
.code { background: #fff; border-radius: .5rem; padding: .25rem; }
.code svg { display: block; width: 100%; height: auto; shape-rendering: crispEdges; }
dl { margin: .9rem 0; }
dl div { display: flex; flex-wrap: wrap; gap: 0 .6rem; justify-content: space-between;
  padding: .3rem 0; border-bottom: 1px solid var(--line); }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
code, pre { font: .92em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--ground); border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem .8rem; overflow-x: auto; margin: .4rem 0; }
article { display: flex; flex-direction: column; }
.files { display: flex; gap: .5rem; margin: auto 0 0; white-space: nowrap; }
.files a { color: var(--accent); border: 1px solid var(--accent); border-radius: .5rem;
  padding: .45rem .65rem; text-decoration: none; font-weight: 600; }
.files a.main { background: var(--accent); color: var(--on-accent); flex: 1 1 auto;
  text-align: center; }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--warn-line); outline-offset: 2px; }
details { margin-top: .75rem; max-width: 46rem; }
summary { font-weight: 600; cursor: pointer; }
details ol { padding-left: 1.3rem; margin: .7rem 0 0; }
details p { margin: .7rem 0 0; color: var(--quiet); }
li { margin: .3rem 0; }
@media print { body { background: #fff; } article, details { break-inside: avoid; } }"""
