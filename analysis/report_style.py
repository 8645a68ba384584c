"""The look of a report: light, dark, on paper and on a phone."""

STYLE = """
:root { color-scheme: light dark;
  --bg: #f3f5f8; --card: #fefefe; --ink: #1c2733; --muted: #5d6b7b; --grid: #dde3ea;
  --accent: #0b6ca5; --soft: #e8f1f8; --warn: #9a5b00; --warn-soft: #fdf1de;
  --heat: 14, 122, 184; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #0f1419; --card: #171e26; --ink: #e5eaf0; --muted: #9aa8b7; --grid: #2c3743;
  --accent: #62b6e7; --soft: #1b2a37; --warn: #f0b45a; --warn-soft: #33270f;
  --heat: 64, 156, 214; } }
@media print { :root { color-scheme: light;
  --bg: #fff; --card: #fff; --ink: #1c2733; --muted: #5d6b7b; --grid: #dde3ea;
  --accent: #0b6ca5; --soft: #e8f1f8; --warn: #9a5b00; --warn-soft: #fdf1de;
  --heat: 14, 122, 184; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  sans-serif; }
main, header > div, footer { max-width: 1060px; margin: 0 auto; padding: 0 24px; }
header { background: var(--card); border-bottom: 1px solid var(--grid); padding: 30px 0 22px; }
h1 { margin: 4px 0 2px; font-size: 30px; line-height: 1.2; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
h2 { margin: 0 0 10px; font-size: 20px; letter-spacing: -.005em; }
h3 { margin: 22px 0 6px; font-size: 16px; }
.over { color: var(--accent); font-weight: 600; font-size: 14px; }
.lead { color: var(--muted); margin: 4px 0 0; max-width: 72ch; overflow-wrap: anywhere; }
nav { margin-top: 16px; display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 14px; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--grid); border-radius: 12px;
  padding: 22px 24px; margin: 18px 0; }
section > p, .notice { max-width: 86ch; } p { margin: 6px 0 10px; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px;
  margin: 20px 0 0; }
.tile { border: 1px solid var(--grid); border-radius: 10px; padding: 10px 14px 12px;
  min-width: 0; }
.tile-label { color: var(--muted); font-size: 13px; }
.tile-value { font-size: 25px; font-weight: 650; line-height: 1.25; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.tile-note { color: var(--muted); font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; }
.notice { border-radius: 8px; padding: 9px 14px; margin: 10px 0; background: var(--soft);
  font-size: 14.5px; overflow-wrap: anywhere; }
.notice.warn { background: var(--warn-soft); color: var(--warn); font-weight: 550; }
.notice.empty { background: none; border: 1px dashed var(--grid); color: var(--muted); }
.scroll { overflow-x: auto; margin: 10px 0; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums;
  width: 100%; }
th { text-align: left; color: var(--muted); font-weight: 550; white-space: nowrap;
  vertical-align: bottom; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--grid); }
td { max-width: 26em; overflow-wrap: break-word; } .number { text-align: right;
  white-space: nowrap; }
tr.first td { font-weight: 650; }
.mark { display: inline-block; font-size: 11.5px; font-weight: 600; line-height: 1.5;
  padding: 0 7px;
  border-radius: 9px; background: var(--soft); color: var(--accent); white-space: nowrap; }
dl { display: grid; grid-template-columns: minmax(120px, max-content) 1fr; gap: 5px 22px;
  margin: 8px 0; }
dt { color: var(--muted); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
figure { margin: 14px 0 8px; break-inside: avoid; }
figcaption { color: var(--muted); font-size: 14px; max-width: 86ch; margin-top: 4px; }
.still svg { display: block; width: 100%; max-width: 860px; height: auto; margin: 0 auto; }
.live { display: none; } .drawn > .live { display: block; overflow-x: auto; }
  .drawn > .still { display: none; }
.live.many { grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr));
  gap: 6px 14px; }
.drawn > .live.many { display: grid; } .chart { min-width: 0; }
.matrix { width: auto; } .matrix td { text-align: center; min-width: 58px;
  border: 2px solid var(--card);
  border-radius: 6px; padding: 8px 10px; } .matrix th { padding: 4px 10px; white-space: normal;
  overflow-wrap: anywhere; min-width: 58px; text-align: center; }
  .matrix th { border: 0; vertical-align: middle; white-space: nowrap; }
.matrix tbody th { text-align: right; }
td:first-child { white-space: nowrap; }
.key span { display: inline-block; margin: 0 14px 0 0; font-size: 14px; color: var(--muted); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr));
  gap: 14px; margin: 12px 0; }
.pictures div { font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; break-inside: avoid;
  }
.pictures img { width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 8px;
  display: block;
  background: var(--bg); margin-bottom: 4px; } .pixels { image-rendering: pixelated; }
.wrong { color: var(--ink); font-weight: 600; } .quiet { color: var(--muted); }
pre { background: var(--bg); border: 1px solid var(--grid); border-radius: 8px;
  padding: 12px 14px;
  margin: 8px 0; overflow-x: auto; font-size: 13px; line-height: 1.6; }
pre code { white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--accent); font-size: 15px; }
footer { color: var(--muted); font-size: 13.5px; padding-bottom: 40px; }
@media (max-width: 640px) { main, header > div, footer { padding: 0 12px; }
  section { padding: 16px 14px; }
  h1 { font-size: 24px; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; }
  .tiles { grid-template-columns: 1fr 1fr; } .tile { padding: 8px 10px; }
  .tile-value { font-size: 21px; } }
@media print { body { font-size: 11pt; } header, section { border: 0; padding: 6px 0; }
  nav { display: none; }
  .drawn > .still, .still { display: block !important; } .live { display: none !important; }
  main, header > div, footer { max-width: none; padding: 0; } .scroll { overflow: visible; }
  table { font-size: 6.8pt; }
  th, td, td:first-child { padding-right: 6px; white-space: normal; overflow-wrap: anywhere; }
  td.number { white-space: nowrap; } }
"""
