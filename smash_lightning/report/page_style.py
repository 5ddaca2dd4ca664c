"""The look of a report's page: light, generous, and on a phone as readable as on a desk."""

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --quiet: #5b6673; --rule: #dde2e7; --ground: #f6f7f9; --blue: #0072b2; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; color: var(--ink); background: #fff;
  font: 1.0625rem/1.6 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 72rem; margin: 0 auto; padding: 4rem 2.5rem 6rem; }
h1 { max-width: 24em; margin: 0 0 1.5rem; font-size: 2.4rem; line-height: 1.15; letter-spacing: -0.015em; }
h2 { margin: 0 0 1rem; font-size: 1.45rem; line-height: 1.25; letter-spacing: -0.01em; }
h1, h2 { text-wrap: balance; }
section + section { margin-top: 3.5rem; padding-top: 2.5rem; border-top: 1px solid var(--rule); }
p { max-width: 42rem; margin: 0 0 1em; text-wrap: pretty; overflow-wrap: anywhere; }
section:first-of-type > p { max-width: 46rem; font-size: 1.2rem; line-height: 1.55; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1.2rem 2rem; margin: 2rem 0; }
dt { color: var(--quiet); font-size: 0.875rem; line-height: 1.4; }
dd {
  margin: 0; font-size: 1.25rem; font-weight: 600; line-height: 1.35; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere;
}
figure { margin: 1.75rem 0; }
figcaption { max-width: 46rem; color: var(--quiet); font-size: 0.9375rem; line-height: 1.5; }
.scroll { max-width: 100%; overflow: auto; }
.scroll::-webkit-scrollbar { height: 0.5rem; }
.scroll::-webkit-scrollbar-thumb { background: var(--quiet); border-radius: 0.25rem; }
.scroll + figcaption { margin-top: 0.75rem; }
figcaption + .scroll { margin-top: 0.5rem; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--blue); outline-offset: 3px; }
img { display: block; width: 100%; height: auto; }
svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 0.9375rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
th, td { padding: 0.45rem 1.5rem 0.45rem 0; text-align: left; vertical-align: baseline; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0.25rem; }
th { color: var(--quiet); font-weight: 600; border-bottom: 2px solid var(--rule); }
td { border-bottom: 1px solid var(--rule); }
.number { text-align: right; }
td.long { min-width: 18rem; white-space: normal; }
details { margin: 1rem 0; }
summary { width: fit-content; color: var(--blue); cursor: pointer; }
summary:hover { text-decoration: underline; }
details .scroll {
  max-height: 36rem; margin-top: 0.75rem; padding: 0 1rem; background: var(--ground); border-radius: 6px;
}
details th { position: sticky; top: 0; padding-top: 0.8rem; background: var(--ground); }
pre {
  width: fit-content; min-width: 100%; margin: 0; padding: 1rem; background: var(--ground); border-radius: 6px;
  font: 0.875rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
details pre { padding: 1rem 0; }
@media (max-width: 40rem) {
  body { font-size: 1rem; }
  main { padding: 2rem 1.1rem 4rem; }
  h1 { font-size: 1.75rem; }
  h2 { font-size: 1.25rem; }
  section + section { margin-top: 2.5rem; padding-top: 2rem; }
  section:first-of-type > p { font-size: 1.08rem; }
  dl { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem 1.5rem; }
  dd { font-size: 1.1rem; }
  th, td { padding-right: 1.1rem; }
}
@media print { main { max-width: none; padding: 0; } section { break-inside: auto; } figure { break-inside: avoid; } }
"""
