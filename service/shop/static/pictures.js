// Product pictures, drawn: a shape for each category in the product's own colour, so that the shop needs no image files.
const SHAPES = {
  shoes: '<path d="M42 118c0-8 4-30 10-38l26 4c4 18 20 26 40 30 8 2 10 6 10 14H44c-2 0-2-4-2-10z"/><path class="d" d="M42 122h86v8H42zM74 90l10-6M80 98l10-6M88 105l9-6"/>',
  clothing: '<path d="M62 44l18 8h10l18-8 26 20-14 22-10-6v50H60V80l-10 6-14-22z" transform="translate(-5 0)"/><path class="d" d="M74 50c2 10 14 10 16 0M80 62v62"/>',
  bags: '<path d="M48 72h74l8 62H40z"/><path class="d" d="M66 78c0-36 38-36 38 0M48 72h74"/>',
  jewellery: '<circle cx="85" cy="98" r="34" fill="none" stroke-width="11" class="ring"/><path d="M85 40l13 12-13 16-13-16z"/><path class="d" d="M72 52h26"/>',
  kitchen: '<path d="M36 82h78c0 34-14 46-39 46s-39-12-39-46z"/><path d="M112 84h34c4 0 4 10 0 10h-36z"/><path class="d" d="M58 66c-4-8 6-10 2-18M76 66c-4-8 6-10 2-18M94 66c-4-8 6-10 2-18"/>',
  textiles: '<path d="M40 58c30-10 60 10 90 0v62c-30 10-60-10-90 0z"/><path class="d" d="M40 76c30-10 60 10 90 0M40 102c30-10 60 10 90 0M62 54v64M108 60v64"/>',
  lighting: '<path d="M62 46h46l18 40H44z"/><path class="d" d="M85 86v44M66 132h38"/><circle class="glow" cx="85" cy="96" r="9"/>',
};

// The CSS colour of a product a little lighter or darker.
function shade(hex, by) {
  const part = (at) => Math.max(0, Math.min(255, parseInt(hex.slice(at, at + 2), 16) + by));
  return `rgb(${part(1)} ${part(3)} ${part(5)})`;
}

// An <svg> element of a product; the caller says in text what it shows.
export function picture(product) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const light = parseInt(product.colour.slice(1, 3), 16) > 150;
  const line = shade(product.colour, light ? -70 : 70);
  svg.setAttribute("viewBox", "18 22 134 134");
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = `<rect width="170" height="170" fill="${shade(product.colour, light ? -14 : 118)}" opacity=".38"/>
    <g fill="${product.colour}" stroke="none" stroke-linejoin="round">${SHAPES[product.category]}</g>`;
  for (const each of svg.querySelectorAll(".d")) {
    for (const [name, value] of Object.entries({ fill: "none", stroke: line, "stroke-width": 3.5, "stroke-linecap": "round" })) each.setAttribute(name, value);
  }
  svg.querySelector(".ring")?.setAttribute("stroke", product.colour);
  svg.querySelector(".glow")?.setAttribute("fill", "#f7dc8b");
  return svg;
}
