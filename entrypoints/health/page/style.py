"""The style of profiler-report.html: the colours of the run's report, in light and dark mode."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --paper: #fdfcfa; --card: #fff; --ink: #1d1b20; --soft: #6c6673; --line: #e4e0e6; --good: #1a7f4e; --bad: #c02b3a;
  --s0: #2563c9; --s1: #c8501e; --s2: #26a072; --s3: #7a4fc0; --s4: #a86400; --s5: #b0307e; --g: #8a8494;
  --o: #b9b3c1; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #131216; --card: #1c1a20; --ink: #ece9f0; --soft: #a09aab; --line: #35313c; --good: #4cc38a;
  --bad: #ff6b78;
  --s0: #6ea8fe; --s1: #f2825a; --s2: #8fe3b8; --s3: #b794f6; --s4: #e0a342; --s5: #f27cc0; --g: #8d879a;
  --o: #5f5a69; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 17px; margin: 0 0 12px; }
h3 { font-size: 13px; margin: 16px 0 4px; color: var(--soft); font-weight: 600; }
p { margin: 0 0 10px; max-width: 86ch; overflow-wrap: anywhere; }
.soft, .source { color: var(--soft); font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px;
  margin-top: 16px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; margin-top: 18px; }
.figures + .source { margin-top: 10px; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 10px 14px; }
.figure b { display: block; font-size: 22px; line-height: 1.3; font-weight: 650; }
.figure span { color: var(--soft); font-size: 13px; }
.badge { display: inline-block; border-radius: 99px; padding: 0 10px; font-size: 13px; font-weight: 600;
  white-space: nowrap;
  color: var(--soft); border: 1px solid currentColor; }
.good { color: var(--good); } .bad { color: var(--bad); }
.said { border-left: 3px solid var(--line); padding: 0 0 0 12px; margin: 0 0 10px; }
.said.fires { border-color: var(--bad); }
.scroll { overflow-x: auto; margin-bottom: 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child > td { border-bottom: 0; }
td.right, th.right { text-align: right; white-space: nowrap; }
td.wrap { overflow-wrap: anywhere; min-width: 170px; }
ol.gains { margin: 0; padding: 0; list-style: none; counter-reset: gain; }
ol.gains li { display: grid; grid-template-columns: 118px 1fr; gap: 2px 16px; padding: 10px 0;
  border-bottom: 1px solid var(--line); }
ol.gains li:last-child { border-bottom: 0; }
ol.gains .gain { font-size: 20px; font-weight: 650; line-height: 1.3; text-align: right; }
ol.gains .gain span { display: block; font-size: 13px; font-weight: 400; color: var(--soft); }
ol.gains p { margin: 0; }
svg { display: block; }
svg.chart { width: 100%; max-width: 560px; height: auto; }
svg.strip { width: 100%; height: 34px; border-radius: 6px; margin: 4px 0 10px; }
svg.bar { width: 100%; min-width: 90px; height: 9px; margin-top: 7px; }
svg.key { width: 10px; height: 10px; display: inline-block; margin-right: 7px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13px; margin-bottom: 8px; }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); } .s3 { fill: var(--s3); }
.s4 { fill: var(--s4); } .s5 { fill: var(--s5); } .g { fill: var(--g); } .o { fill: var(--o); }
.b { fill-opacity: .7; } .c { fill-opacity: .45; }
.track { fill: var(--line); }
.chart .tick { font-size: 11px; fill: var(--soft); }
.chart .grid { stroke: var(--line); fill: none; }
.chart .line { fill: none; stroke: var(--s0); stroke-width: 1.5; stroke-linejoin: round; }
.chart .area { fill: var(--s0); fill-opacity: .16; }
.chart .limit { stroke: var(--soft); stroke-dasharray: 4 4; fill: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 14px 22px; }
.charts figure { margin: 0; min-width: 0; } .charts figure:only-child { max-width: 420px; }
figcaption { font-size: 13px; color: var(--soft); margin-bottom: 2px; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 13px;
  overflow-wrap: anywhere; }
summary { cursor: pointer; font-size: 13px; color: var(--soft); margin-bottom: 8px; }
footer { margin-top: 24px; color: var(--soft); font-size: 13px; }
@media (max-width: 640px) {
  main { padding: 18px 10px 40px; } section { padding: 14px 12px; }
  ol.gains li { grid-template-columns: 1fr; } ol.gains .gain { text-align: left; }
  ol.gains .gain span { display: inline; margin-left: 8px; }
  table.stacked tr:first-child { display: none; }
  table.stacked tr { display: flex; flex-wrap: wrap; gap: 0 12px; padding: 7px 0;
  border-bottom: 1px solid var(--line); }
  table.stacked td { border: 0; padding: 0; }
  table.stacked td:first-child { flex: 1 0 40%; }
  table.stacked td.wrap { flex-basis: 100%; color: var(--soft); font-size: 13px; }
  table.stacked td[data-head="bar"] { flex-basis: 100%; }
  table.stacked td[data-head="points"]::after { content: " points"; color: var(--soft); font-size: 13px; }
  table.stacked td[data-head="calls"]:not(:empty)::after { content: " calls"; color: var(--soft); font-size: 13px; }
  table.dense th, table.dense td { padding-right: 9px; font-size: 13px; }
}
@media print { section { break-inside: avoid; } body { background: none; } }
"""
