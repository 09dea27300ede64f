// The element that has the focus, and whether that can be seen: how it looks with the
// focus is held against how it looks without.
(() => {
  const e = document.activeElement;
  if (!e || e == document.body || e == document.documentElement) return {Path: ''};
  const path = [];
  for (let n = e; n.parentElement; n = n.parentElement) {
    path.unshift(n.tagName.toLowerCase() + ':' + [...n.parentElement.children].indexOf(n));
  }
  const box = e.getBoundingClientRect();
  const visible = box.width > 1 && box.height > 1 && box.bottom > 0 && box.right > 0 &&
    box.top < innerHeight && box.left < innerWidth && getComputedStyle(e).visibility == 'visible' && getComputedStyle(e).opacity > 0;
  const look = () => {
    const s = getComputedStyle(e);
    return [s.outlineStyle == 'none' ? '' : s.outlineStyle + s.outlineWidth + s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor, s.textDecorationLine].join('|');
  };
  const focused = look();
  const name = e.getAttribute('aria-label') || (e.labels && e.labels[0] && e.labels[0].innerText) || e.innerText || e.value || e.title || '';
  // Blurring would lose the place that Tab goes on from, so the style is taken from a
  // rule-for-rule twin without focus: the same element in the same place, cloned.
  const twin = e.cloneNode(true);
  twin.removeAttribute('id');
  twin.removeAttribute('name');
  twin.removeAttribute('autofocus');
  e.after(twin);
  const s = getComputedStyle(twin);
  const unfocused = [s.outlineStyle == 'none' ? '' : s.outlineStyle + s.outlineWidth + s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor, s.textDecorationLine].join('|');
  twin.remove();
  return {Name: name.trim().slice(0, 80), Tag: e.tagName.toLowerCase(), Path: path.join('/'), Visible: visible, Shown: focused != unfocused};
})()
