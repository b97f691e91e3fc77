// A page that is wider than its window, controls that something else covers, text that its box cuts off.
const done = arguments[arguments.length - 1];
const faults = [];
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) {
  const widest = [...document.querySelectorAll('main *, header *, footer *')].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest('.scroll, .unseen, .skip'));
  faults.push(`sideways: ${root.scrollWidth} px in ${root.clientWidth}: ${widest.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(' | ')}`);
}
const shown = (e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && e.getBoundingClientRect().width > 1 && e.getBoundingClientRect().height > 1;
const was = [scrollX, scrollY];
let looked = 0;
for (const e of document.querySelectorAll('a[href], button, input, select, textarea, summary')) {
  if (!shown(e) || e.closest('.unseen, .skip') || looked++ > 400) continue;
  e.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
  const box = e.getClientRects()[0];
  if (!box) continue;
  const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  const own = hit && (e.contains(hit) || hit.contains(e) || (e.labels && [...e.labels].some((l) => l.contains(hit))));
  if (!own) faults.push(`covered: ${e.outerHTML.slice(0, 160)} by ${hit ? hit.outerHTML.slice(0, 120) : 'nothing'}`);
}
scrollTo(...was);
for (const e of document.querySelectorAll('main *')) {
  if (!shown(e) || e.closest('.unseen, .scroll, svg') || !['hidden', 'clip'].includes(getComputedStyle(e).overflowX)) continue;
  if (e.scrollWidth > e.clientWidth + 1 && e.textContent.trim()) faults.push(`cut off: ${e.outerHTML.slice(0, 160)}`);
}
done(faults);
