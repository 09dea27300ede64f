// What reaches beyond the window's right edge, if that can be scrolled to. Boxes that
// scroll by themselves (tables, logs) may hold more than they show.
(() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const wide = [];
  for (const e of document.body.querySelectorAll('*')) {
    const box = e.getBoundingClientRect();
    if (box.right <= width + 0.5 || box.width == 0) continue;
    let boxed = false;
    for (let up = e.parentElement; up && up != document.body; up = up.parentElement) {
      if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(up).overflowX)) boxed = true;
    }
    if (!boxed) wide.push(`${e.tagName.toLowerCase()}.${e.className} to ${Math.round(box.right)} of ${width}: ${e.textContent.trim().slice(0, 60)}`);
  }
  return wide.length ? wide.slice(0, 5) : [`the page itself: ${document.documentElement.scrollWidth} of ${width}`];
})()
