// What every screen shares: the menu on narrow screens, dialogs, and the state of forms that are being sent.

document.documentElement.classList.add("has-script");

const menu = document.querySelector(".menu-button");
menu?.addEventListener("click", () => {
  const isOpen = menu.closest(".side").classList.toggle("is-open");
  menu.setAttribute("aria-expanded", String(isOpen));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu?.getAttribute("aria-expanded") === "true") {
    menu.click();
    menu.focus();
  }
});

// A dialog that an answer of the server brought in opens at once; it closes by Escape, its button or a click beside it.
let opener = null;
document.addEventListener("click", (event) => {
  const trigger = event.target.closest("[data-opens-dialog]");
  if (trigger) opener = trigger;
  const close = event.target.closest("[data-close]");
  if (close) close.closest("dialog")?.close();
  if (event.target instanceof HTMLDialogElement) event.target.close();
});
document.addEventListener("htmx:after:swap", () => {
  const dialog = document.querySelector("#dialog-slot dialog:not([open])");
  if (!dialog) return;
  dialog.showModal();
  dialog.addEventListener("close", () => {
    dialog.remove();
    opener?.focus();
  });
});

// A form that has been sent can't be sent twice; coming back by the browser's history sets it free again.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.hasAttribute("hx-post") || event.target.hasAttribute("hx-get")) return;
  const button = event.submitter;
  setTimeout(() => button?.setAttribute("disabled", ""), 0);
});
window.addEventListener("pageshow", () => {
  document.querySelectorAll("button[disabled]:not([data-off])").forEach((button) => button.removeAttribute("disabled"));
});

// A part of the page that can't be had: say so, and take it back when the next one comes.
const offline = document.getElementById("offline");
document.addEventListener("htmx:error", () => offline?.removeAttribute("hidden"));
document.addEventListener("htmx:after:swap", () => offline?.setAttribute("hidden", ""));
