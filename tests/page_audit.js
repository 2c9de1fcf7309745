// What is wrong with the page as it is drawn, by kind; every list is empty on a good page.
(() => {
  const found = { contrast: [], overlapping: [], outside: [], clipped: [], small: [], unreachable: [], unlabelled: [], headings: [] };
  const name = (element) => `${element.tagName.toLowerCase()} “${element.textContent.trim().slice(0, 40)}”`;
  const styles = new Map();
  const style = (element) => {
    if (!styles.has(element)) styles.set(element, getComputedStyle(element));
    return styles.get(element);
  };
  const parents = function* (element) { for (let at = element; at; at = at.parentElement) yield at; };

  // The parts of `rect` that no scrolling or clipping parent hides.
  const visible = (rect, element) => {
    let { left, top, right, bottom } = rect;
    for (const parent of parents(element.parentElement)) {
      if (parent === document.body || parent === document.documentElement || style(parent).overflowX === "visible") continue;
      const edge = parent.getBoundingClientRect();
      [left, top, right, bottom] = [Math.max(left, edge.left), Math.max(top, edge.top), Math.min(right, edge.right), Math.min(bottom, edge.bottom)];
    }
    return { left, top, right, bottom, element };
  };

  // Every line of text, with the element it is in.
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const lines = [], elements = new Set();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || ["SCRIPT", "STYLE", "METADATA"].includes(element.tagName.toUpperCase())) continue;
    elements.add(element);
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      const seen = visible(rect, element);
      if (seen.right - seen.left > 1 && seen.bottom - seen.top > 1) lines.push(seen);
    }
  }

  // Contrast after WCAG 2.2, 1.4.3.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  const colour = (text) => {
    if (!colours.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      colours.set(text, [r, g, b, a / 255]);
    }
    return colours.get(text);
  };
  const over = (upper, lower) => [0, 1, 2].map((i) => upper[i] * upper[3] + lower[i] * (1 - upper[3])).concat(1);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const opacity = (element) => [...parents(element)].reduce((product, at) => product * Number(style(at).opacity), 1);
  const faded = (text, by) => { const [r, g, b, a] = colour(text); return [r, g, b, a * by]; };
  const painted = (element) => element instanceof SVGGeometryElement && style(element).fill !== "none";
  const background = (element) => {
    const layers = [];
    if (element instanceof SVGElement) {
      const box = element.getBoundingClientRect();
      const beneath = document.elementsFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
      for (const shape of beneath.slice(beneath.indexOf(element) + 1).filter(painted))
        layers.push(faded(style(shape).fill, opacity(shape) * Number(style(shape).fillOpacity)));
    }
    for (const parent of parents(element)) layers.push(colour(style(parent).backgroundColor));
    return layers.reverse().reduce((lower, upper) => over(upper, lower), [255, 255, 255, 1]);
  };
  const contrast = (element) => {
    const behind = background(element);
    const ink = element instanceof SVGElement ? style(element).fill : style(element).color;
    const [light, dark] = [over(faded(ink, opacity(element)), behind), behind].map(luminance).sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  for (const element of elements) {
    const ratio = contrast(element);
    if (ratio < 4.5) found.contrast.push(`${name(element)}: ${ratio.toFixed(2)}`);
  }

  // Text upon text. Lines of text are taller than their letters, so a little is allowed.
  lines.sort((a, b) => a.top - b.top);
  lines.forEach((one, i) => {
    for (let j = i + 1; j < lines.length && lines[j].top < one.bottom - 3; j++) {
      const other = lines[j];
      const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const high = Math.min(one.bottom, other.bottom) - other.top;
      if (wide > 1.5 && high > 3 && one.element !== other.element)
        found.overlapping.push(`${name(one.element)} and ${name(other.element)}`);
    }
  });

  // Text beyond the page or its drawing, cut off, or too small to read.
  const page = document.documentElement.clientWidth;
  for (const { left, right, top, bottom, element } of lines) {
    const drawing = element.closest("svg");
    const edge = drawing ? drawing.getBoundingClientRect() : { top: -1, bottom: Infinity };
    if (left < -0.5 || right > page + 0.5 || top < edge.top - 4 || bottom > edge.bottom + 4) found.outside.push(name(element));
  }
  for (const element of document.body.querySelectorAll("*")) {
    const { overflowX, overflowY, textOverflow } = style(element);
    const cut = ["hidden", "clip"];
    if (element.ownerSVGElement) continue;
    if ((cut.includes(overflowX) && element.scrollWidth > element.clientWidth + 1) || textOverflow === "ellipsis" ||
        (cut.includes(overflowY) && element.scrollHeight > element.clientHeight + 1)) found.clipped.push(name(element));
    const scrolls = ["auto", "scroll"].includes(overflowX) && element.scrollWidth > element.clientWidth;
    if (scrolls && element.tabIndex < 0) found.unreachable.push(name(element));
  }
  for (const element of elements) {
    const drawing = element.closest("svg");
    const scale = drawing && drawing.viewBox.baseVal.width ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1;
    const size = parseFloat(style(element).fontSize) * scale;
    if (size < 9.5) found.small.push(`${name(element)}: ${size.toFixed(1)} px`);
  }

  // Landmarks, links, tables, headings.
  for (const element of elements)
    if (!element.closest("header, nav, main, footer")) found.unlabelled.push(`outside every landmark: ${name(element)}`);
  for (const link of document.querySelectorAll("a[href]")) {
    if (!document.querySelector(link.getAttribute("href"))) found.unreachable.push(`${name(link)} leads nowhere`);
    if (link.getClientRects().length && link.getBoundingClientRect().height < 24) found.small.push(`${name(link)} to touch`);
  }
  for (const table of document.querySelectorAll("table")) {
    const label = table.caption || document.getElementById(table.getAttribute("aria-labelledby"));
    if (!label || !label.textContent.trim()) found.unlabelled.push(`a table: ${name(table)}`);
    if (!table.querySelector("th[scope=col]")) found.unlabelled.push(`columns of ${name(table)}`);
    for (const row of table.tBodies) for (const { cells } of row.rows)
      if (!["row", "rowgroup"].includes(cells[0].scope)) found.unlabelled.push(`a row of ${name(table)}`);
  }
  for (const picture of document.querySelectorAll("svg, img")) {
    const label = picture.getAttribute(picture.tagName === "IMG" ? "alt" : "aria-label") ?? "";
    if (!label.trim() && !picture.closest("[aria-hidden=true]")) found.unlabelled.push(`a picture: ${picture.outerHTML.slice(0, 60)}`);
  }
  for (const section of document.querySelectorAll("section")) {
    const label = document.getElementById(section.getAttribute("aria-labelledby"));
    if (!label || label.tagName !== "H2") found.unlabelled.push(`a section: ${name(section)}`);
  }
  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((heading) => Number(heading.tagName[1]));
  if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) found.headings.push(`levels ${levels}`);
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) found.headings.push(`h${level} after h${levels[i - 1]}`); });
  for (const landmark of ["main", "body > header", "nav", "body > footer"])
    if (document.querySelectorAll(landmark).length !== 1) found.unlabelled.push(`not one ${landmark}`);
  if (!document.documentElement.lang) found.unlabelled.push("the language");
  if (!document.title.trim()) found.unlabelled.push("the title");
  return found;
})()
