// The example shop: a small storefront on top of salience.js. Everything that a rule can look at is sent with `track`;
// what is in sight is asked for with `decide`; the panel shows each answer with its reasons.
import { picture } from "/static/pictures.js";
import { showDecision, showSession } from "/static/panel.js";

const $ = (selector) => document.querySelector(selector);
const config = await (await fetch("/config.json")).json();
const products = new Map(config.products.map((each) => [each.id, each]));
const categories = [...new Set(config.products.map((each) => each.category))];
const money = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });
const store = (name, value) => (value === undefined ? JSON.parse(localStorage.getItem(name) ?? "null") : localStorage.setItem(name, JSON.stringify(value)));

// What the page itself shows when nobody answers: the same words as the ruleset's fallbacks.
const FALLBACKS = {
  home_hero: [{ offer: "page", content: { kind: "hero", title: "New for the season", text: "Linen, oak and soft leather, made to be used every day.", tone: "calm" } }],
  cart_banner: [{ offer: "page", content: { kind: "banner", title: "Delivered in two to three days", text: "Returns are possible for 30 days.", tone: "calm" } }],
  carousel: [{ offer: "page", content: { kind: "card", title: "What others like", category: "best_sellers", tone: "calm" } }],
  checkout_note: [{ offer: "page", content: { kind: "note", title: "Your data travels encrypted", tone: "calm" } }],
};

let cart = store("cart") ?? {};
let customer = store("customer");
const views = store("views") ?? {};

const salience = Salience.init({ endpoint: config.endpoint, key: config.key, customerId: customer, fallbacks: FALLBACKS, timeoutMs: 1500 });
showSession(salience.sessionId);

// ---------------------------------------------------------------- small pieces of page

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((each) => each != null && each !== false));
  return node;
}
const link = (href, text, className) => el("a", { href, class: className, "data-link": true }, text);
const tile = (product) =>
  el("a", { class: "product", href: `/product/${product.id}`, "data-link": true }, picture(product),
    el("span", { class: "label" }, el("b", {}, product.name), el("span", { class: "price" }, money.format(product.price))));
const grid = (list) => el("div", { class: "grid" }, list.map(tile));
const slot = (placement) => el("div", { "data-placement": placement });

function offerCard(offer) {
  const { kind, title, text, button, link: href, code, tone } = offer.content;
  const row = el("div", { class: "row" }, code && el("span", { class: "code" }, code), button && link(href ?? "/", button, "button"));
  return el("section", { class: `offer ${kind} tone-${tone}`, "data-offer": offer.offer },
    el("h2", {}, title), text && el("p", {}, text), row.childElementCount ? row : null);
}

// A card of the carousel stands for products: of a category, the affordable ones, or what is viewed most here.
function carouselProducts({ category }) {
  const seen = (product) => views[product.id] ?? 0;
  const all = [...config.products].sort((a, b) => seen(b) - seen(a));
  if (category === "affordable") return all.filter((each) => each.price < 40);
  return categories.includes(category) ? all.filter((each) => each.category === category) : all;
}

function carousel(offers) {
  return offers.map((offer) =>
    el("section", { "data-offer": offer.offer }, el("h2", {}, offer.content.title), offer.content.text && el("p", { class: "quiet" }, offer.content.text),
      el("div", { class: "strip" }, carouselProducts(offer.content).slice(0, 8).map(tile))));
}

// ---------------------------------------------------------------- what happens

function track(type, attributes = {}) {
  salience.track(type, attributes);
}
const about = (product) => ({ product_id: product.id, category: product.category, price: product.price });

function changeCart(product, quantity) {
  cart[product.id] = (cart[product.id] ?? 0) + quantity;
  if (cart[product.id] <= 0) delete cart[product.id];
  store("cart", cart);
  track(quantity > 0 ? "cart_added" : "cart_removed", { ...about(product), quantity: Math.abs(quantity) });
  cartCount();
}
const lines = () => Object.entries(cart).map(([id, quantity]) => [products.get(id), quantity]).filter(([product]) => product);
const total = () => lines().reduce((sum, [product, quantity]) => sum + product.price * quantity, 0);
function cartCount() {
  const count = lines().reduce((sum, [, quantity]) => sum + quantity, 0);
  $("#cart-count").textContent = count;
  $(".cart").setAttribute("aria-label", `Cart, ${count} things`);
}

// Ask for what is in sight and put it where it belongs. What stays the same is left alone, so nothing flickers.
async function decide() {
  const spots = [...document.querySelectorAll("[data-placement]")];
  if (!spots.length) return;
  const began = performance.now();
  const page = document.body.dataset.page;
  const decision = await salience.decide(spots.map((each) => each.dataset.placement), { context: { "context.page": page, "context.device": device() }, explain: true });
  for (const spot of spots) {
    if (!spot.isConnected) continue;
    const answer = decision.placements.find((each) => each.placement === spot.dataset.placement);
    const shape = JSON.stringify(answer.offers.map((each) => [each.offer, each.content]));
    if (spot.dataset.shape === shape && spot.dataset.placement !== "carousel") continue;
    const first = !spot.dataset.shape;
    spot.dataset.shape = shape;
    spot.replaceChildren(...(spot.dataset.placement === "carousel" ? carousel(answer.offers) : answer.offers.map(offerCard)));
    if (!first) spot.querySelector(".offer")?.classList.add("new");
  }
  salience.expose(decision);
  showDecision(decision, performance.now() - began);
}
const device = () => (innerWidth < 600 ? "phone" : innerWidth < 1000 ? "tablet" : "desktop");

// A marketer may publish while somebody looks: ask again now and then, and when a window of a rule closes.
let soon;
function again() {
  clearTimeout(soon);
  soon = setTimeout(() => document.visibilityState === "visible" ? decide().finally(again) : again(), 700);
}

// ---------------------------------------------------------------- pages

const PAGES = {
  home() {
    track("page_viewed", { page: "home" });
    return [slot("home_hero"), slot("carousel"), el("h2", {}, "Everything"), grid(config.products)];
  },
  category(name) {
    track("page_viewed", categories.includes(name) ? { page: "category", category: name } : { page: "category" });
    const list = categories.includes(name) ? config.products.filter((each) => each.category === name) : carouselProducts({ category: name });
    return [el("h1", {}, name[0].toUpperCase() + name.slice(1)), slot("cart_banner"), grid(list)];
  },
  product(id) {
    const product = products.get(id);
    if (!product) return PAGES.lost();
    views[id] = (views[id] ?? 0) + 1;
    store("views", views);
    track("product_viewed", about(product));
    const add = () => { changeCart(product, 1); decide(); };
    return [
      el("div", { class: "detail" }, picture(product),
        el("div", {}, el("p", { class: "quiet" }, link(`/category/${product.category}`, product.category)), el("h1", {}, product.name),
          el("p", { class: "price" }, money.format(product.price)), el("button", { class: "button", type: "button", id: "add", onclick: add }, "Add to cart"), el("p", { class: "quiet" }, "In stock. Delivered in two to three days."))),
      slot("cart_banner"), slot("carousel"),
    ];
  },
  cart() {
    track("page_viewed", { page: "cart" });
    if (!lines().length) return [el("h1", {}, "Your cart is empty"), slot("carousel")];
    const remove = (product) => () => { changeCart(product, -1); render(); };
    return [
      el("h1", {}, "Your cart"), slot("cart_banner"),
      el("table", { class: "lines" }, el("tbody", {}, lines().map(([product, quantity]) =>
        el("tr", {}, el("td", {}, picture(product)), el("td", {}, link(`/product/${product.id}`, product.name), el("br"), el("button", { class: "link", type: "button", onclick: remove(product) }, quantity > 1 ? "Take one out" : "Take out")),
          el("td", { class: "amount" }, `${quantity} × ${money.format(product.price)}`))))),
      el("div", { class: "total" }, el("b", { id: "total" }, money.format(total())), link("/checkout", "To the checkout", "button")),
    ];
  },
  checkout() {
    if (!lines().length) return PAGES.cart();
    track("checkout_viewed", { step: "payment" });
    const pay = (event) => {
      event.preventDefault();
      const items = lines().reduce((sum, [, quantity]) => sum + quantity, 0);
      track("purchase", { order_id: `o-${salience.sessionId}-${items}-${Math.round(total() * 100)}`, total: Math.round(total() * 100) / 100, items });
      cart = {};
      store("cart", cart);
      cartCount();
      go("/thanks");
    };
    const fail = () => { track("payment_failed", { method: "card" }); decide(); };
    return [
      el("h1", {}, "Checkout"), slot("cart_banner"), slot("checkout_note"),
      el("form", { class: "pay", onsubmit: pay },
        el("p", {}, `To pay: ${money.format(total())}`),
        el("label", {}, "Name on the card", el("input", { name: "holder", value: "A. Shopper", autocomplete: "off" })),
        el("div", { class: "row" }, el("button", { class: "button", id: "pay" }, "Pay"), " ", el("button", { class: "button plain", type: "button", onclick: fail }, "Let the card fail"), " ", link("/cart", "Back to the cart", "button plain")),
        el("p", { class: "quiet" }, "Nothing is charged: this is the example shop of Salience.")),
    ];
  },
  thanks: () => [el("h1", {}, "Thank you!"), el("p", {}, "Your order is on its way, at least in this example."), slot("carousel")],
  help: () => [el("h1", {}, "How can we help?"), el("p", {}, "In a real shop, somebody would answer here."), slot("carousel")],
  lost: () => [el("h1", {}, "Not here"), el("p", {}, "This page does not exist. "), link("/", "Back to the shop", "button")],
  search(query) {
    const found = config.products.filter((each) => `${each.name} ${each.category}`.toLowerCase().includes(query.toLowerCase()));
    track("search", { query, results: found.length });
    return [el("h1", {}, found.length ? `“${query}”` : `Nothing found for “${query}”`), slot("cart_banner"), found.length ? grid(found) : slot("carousel")];
  },
};

function render() {
  const [, kind = "", name = ""] = location.pathname.split("/");
  const query = new URLSearchParams(location.search).get("query");
  const page = query ? "search" : kind || "home";
  document.body.dataset.page = page in PAGES && page !== "thanks" && page !== "help" && page !== "lost" ? page : "home";
  $("#page").replaceChildren(...(query ? PAGES.search(query) : (PAGES[page] ?? PAGES.lost)(decodeURIComponent(name))));
  for (const each of document.querySelectorAll("#categories a")) each.toggleAttribute("aria-current", each.pathname === location.pathname);
  decide();
  again();
}

function go(path) {
  history.pushState(null, "", path);
  render();
  $("#page").focus({ preventScroll: true });
  scrollTo(0, 0);
}

// ---------------------------------------------------------------- the frame around the pages

$("#categories").append(...categories.map((each) => link(`/category/${each}`, each)));
$("#admin-link").href = `${config.admin}/rules`;
$("#customer").append(el("option", { value: "" }, "a guest"), ...config.people.map((each) => el("option", { value: each.id, selected: each.id === customer }, `${each.name} (${each.tier})`)));
$("#customer").addEventListener("change", (event) => {
  customer = event.target.value || null;
  store("customer", customer);
  salience.identify(customer);
  render();
});
$("#search").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = new FormData(event.target).get("query").trim();
  if (query) go(`/?query=${encodeURIComponent(query)}`);
});
document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[data-link]");
  if (!anchor || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  go(anchor.getAttribute("href"));
});
addEventListener("popstate", render);

function panel(open) {
  $(".stage").classList.toggle("open", open);
  $("#panel-button").setAttribute("aria-expanded", open);
  store("panel", open);
}
$("#panel-button").addEventListener("click", () => panel(!$(".stage").classList.contains("open")));
$("#panel-close").addEventListener("click", () => { panel(false); $("#panel-button").focus(); });

panel(store("panel") ?? innerWidth > 900);
cartCount();
render();
