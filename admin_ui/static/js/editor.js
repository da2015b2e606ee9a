// The editor: CodeMirror over the text of one file. The server checks, says rules as sentences, proposes words and saves;
// nothing here knows the rule language.

import {
  Compartment,
  EditorSelection,
  EditorState,
  EditorView,
  HighlightStyle,
  acceptCompletion,
  autocompletion,
  bracketMatching,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  defaultKeymap,
  drawSelection,
  foldGutter,
  foldKeymap,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSelectionMatches,
  highlightSpecialChars,
  history,
  historyKeymap,
  indentLess,
  indentMore,
  indentOnInput,
  indentUnit,
  keymap,
  lineNumbers,
  lintGutter,
  lintKeymap,
  searchKeymap,
  setDiagnostics,
  syntaxHighlighting,
  tags,
  yaml,
} from "../vendor/codemirror.js";

const box = document.getElementById("code");
const textarea = document.getElementById("source");
const mayEdit = box.dataset.mayEdit === "1";
const path = box.dataset.path;
const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

let version = Number(box.dataset.version);
let base = box.dataset.base || null;
// The text comes as JSON, because a text area would turn every line end into one kind.
const { text: original, ...initial } = JSON.parse(document.getElementById("state").textContent);
const lineEnd = original.includes("\r\n") && !/(^|[^\r])\n/.test(original) ? "\r\n" : "\n";
let saved = original;
let state = initial;
let conflict = null;

// ---------------------------------------------------------------- talking to the server

let token = meta("csrf-token");

async function ask(url, body) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": token },
    body: JSON.stringify(body),
  });
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  return { status: response.status, body: isJson ? await response.json() : {} };
}

/** Ask; where somebody signed in anew in another tab, with the token of that session. */
async function post(url, body) {
  const answer = await ask(url, body);
  if (answer.body.code !== "token") return answer;
  const fresh = await fetch(box.dataset.token, { headers: { Accept: "application/json" } });
  if (fresh.redirected || !fresh.ok) return { status: 401, body: { error: "Your session has ended. Sign in again in another tab, then try once more." } };
  ({ token } = await fresh.json());
  return ask(url, body);
}

// ---------------------------------------------------------------- the look of the text

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.string, tags.content], color: "var(--text)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--info)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--muted)" },
  { tag: [tags.keyword, tags.labelName, tags.typeName], color: "var(--danger)" },
]);
const look = EditorView.theme({
  "&": { backgroundColor: "var(--surface)", color: "var(--text)", fontSize: "0.8438rem" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { caretColor: "var(--text)", padding: "0.5rem 0" },
  ".cm-cursor": { borderLeftColor: "var(--text)", borderLeftWidth: "2px" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { background: "var(--accent-soft) !important" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--muted)", border: "none", borderRight: "1px solid var(--line)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent-soft) 40%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--accent-soft)", color: "var(--text)" },
  ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--text)", borderColor: "var(--line)" },
  ".cm-panel.cm-search label": { fontSize: "0.8125rem" },
  ".cm-textfield, .cm-button": { backgroundColor: "var(--surface)", backgroundImage: "none", color: "var(--text)", border: "1px solid var(--line-strong)", minHeight: "1.75rem" },
  ".cm-tooltip": { backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "8px", overflow: "hidden", boxShadow: "0 6px 24px rgb(0 0 0 / 15%)" },
  ".cm-tooltip-autocomplete > ul > li": { padding: "0.1875rem 0.5rem" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent-soft)", color: "var(--accent-strong)" },
  ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal", marginLeft: "1rem" },
  ".cm-completionIcon": { display: "none" },
  ".cm-diagnostic": { borderLeftWidth: "3px", padding: "0.375rem 0.625rem", fontFamily: "system-ui, sans-serif", fontSize: "0.875rem", maxWidth: "32rem" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunken)", color: "var(--muted)", border: "1px solid var(--line)" },
  ".cm-searchMatch": { backgroundColor: "var(--warn-soft)" },
  ".cm-selectionMatch": { backgroundColor: "var(--warn-soft)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-soft)", outline: "1px solid var(--accent)" },
});

// ---------------------------------------------------------------- completion, asked from the server

async function complete(context) {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  if (!context.explicit && !/[\w.]$|[:{,[]\s$/.test(before)) return null;
  const answer = await post(box.dataset.complete, {
    path,
    text: context.state.sliceDoc(),
    line: line.number,
    column: context.pos - line.from + 1,
  }).catch(() => null);
  if (!answer || answer.status !== 200 || !answer.body.options.length || context.aborted) return null;
  const from = line.from + answer.body.from - 1;
  return {
    from,
    filter: false,
    options: answer.body.options.map((option) => ({
      label: option.label,
      detail: option.detail,
      apply: option.is_key ? `${option.label}: ` : option.label,
    })),
  };
}

// ---------------------------------------------------------------- diagnostics and the sentence

const list = document.getElementById("problems");
const checkState = document.getElementById("check-state");
const sentence = document.getElementById("sentence");
let shownSentence = null;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function place(found, doc) {
  const line = doc.line(Math.min(Math.max(found.line, 1), doc.lines));
  const from = Math.min(line.from + found.column - 1, line.to);
  const to = Math.min(Math.max(from + found.length, from + 1), Math.max(line.to, from));
  return { from, to: Math.max(from, to) };
}

function showState(view) {
  const here = state.diagnostics.filter((found) => found.file === path);
  view.dispatch(
    setDiagnostics(
      view.state,
      here.map((found) => ({
        ...place(found, view.state.doc),
        severity: found.severity,
        message: found.proposal ? `${found.message}\n${found.proposal}` : found.message,
      })),
    ),
  );
  const errors = state.diagnostics.filter((found) => found.severity === "error").length;
  const warnings = state.diagnostics.length - errors;
  checkState.replaceChildren();
  if (!state.diagnostics.length) {
    checkState.append(element("span", "badge ok", "No mistakes"));
  } else {
    if (errors) checkState.append(element("span", "badge danger", `${errors} mistake${errors > 1 ? "s" : ""}`));
    if (warnings) checkState.append(element("span", "badge warn", `${warnings} warning${warnings > 1 ? "s" : ""}`));
  }
  list.replaceChildren(
    ...state.diagnostics.slice(0, 50).map((found) => {
      const item = element("li", found.severity);
      const button = element("button");
      button.type = "button";
      const where = found.file === path ? `line ${found.line}` : `${found.file}, line ${found.line}`;
      button.append(element("span", "where", `${where} · ${found.code}`), element("span", "", found.message));
      if (found.proposal) button.append(element("span", "proposal", found.proposal));
      button.addEventListener("click", () => goTo(view, found));
      item.append(button);
      return item;
    }),
  );
  showSentence(view);
}

function goTo(view, found) {
  if (found.file !== path) {
    location.assign(`${box.dataset.open}?file=${encodeURIComponent(found.file)}&line=${found.line}`);
    return;
  }
  const { from } = place(found, view.state.doc);
  view.dispatch({ selection: EditorSelection.cursor(from), effects: EditorView.scrollIntoView(from, { y: "center" }) });
  view.focus();
}

/** The name of the rule that the cursor stands in: the nearest `rule:` at or above it. */
function ruleAt(view) {
  const doc = view.state.doc;
  for (let number = doc.lineAt(view.state.selection.main.head).number; number >= 1; number -= 1) {
    const found = /(?:^|[\s{])rule:\s*([\w-]+)/.exec(doc.line(number).text);
    if (found) return found[1];
    if (/^\w/.test(doc.line(number).text) && !/^rules:/.test(doc.line(number).text)) return null;
  }
  return null;
}

const known = new Map();
function showSentence(view) {
  if (state.valid) {
    known.clear();
    state.rules.forEach((rule) => known.set(rule.name, rule.sentence));
  }
  const name = ruleAt(view);
  const text = name === null ? null : known.get(name);
  const note = state.valid || !text ? "" : "As it was before the mistakes.";
  const key = `${name}\n${text}\n${note}`;
  if (key === shownSentence) return;
  shownSentence = key;
  sentence.replaceChildren();
  if (name === null) sentence.append(element("p", "muted", "Put the cursor into a rule."));
  else if (!text) sentence.append(element("p", "muted", "It can be said in words once the mistakes are gone."));
  else sentence.append(element("h3", "mono", name), element("p", "", text));
  if (note) sentence.append(element("p", "muted small", note));
}

let asked = 0;
let timer = null;
function checkSoon(view) {
  clearTimeout(timer);
  timer = setTimeout(() => check(view), 250);
}

async function check(view) {
  asked += 1;
  const mine = asked;
  const text = view.state.sliceDoc();
  const answer = await post(box.dataset.check, { path, text }).catch(() => null);
  if (mine !== asked) return; // a later question is under way
  if (!answer || answer.status !== 200) {
    checkState.replaceChildren(element("span", "badge warn", answer?.body.error ?? "Can't be checked: the server does not answer"));
    return;
  }
  if (view.state.sliceDoc() !== text) return; // typed on: the next check is coming
  state = answer.body;
  showState(view);
}

// ---------------------------------------------------------------- saving, and two people at once

const saveButton = document.getElementById("save");
const saveState = document.getElementById("save-state");
const isChanged = () => view.state.sliceDoc() !== saved;

function showChanged() {
  if (!saveButton) return;
  const changed = isChanged();
  saveButton.disabled = !changed || conflict !== null;
  if (changed) saveState.textContent = "Not saved yet";
  else if (saveState.textContent === "Not saved yet") saveState.textContent = "";
}

async function save() {
  if (!saveButton || saveButton.disabled) return;
  const text = view.state.sliceDoc();
  saveButton.disabled = true;
  saveState.textContent = "Saving…";
  const answer = await post(box.dataset.save, { path, text, version, base }).catch(() => null);
  if (answer?.status === 200) {
    ({ version, base } = answer.body);
    saved = text;
    saveState.textContent = version === 0 ? "Saved: the same as live, so not in the draft" : "Saved in the draft";
  } else if (answer?.status === 409) {
    showConflict(answer.body);
  } else {
    saveState.textContent = answer?.body.error ?? "Not saved: the server does not answer. Your text is still here.";
  }
  saveButton.disabled = conflict !== null || !isChanged();
}

const banner = document.getElementById("conflict");
function showConflict(found) {
  conflict = found;
  document.getElementById("conflict-title").textContent =
    found.theirs === null ? `${found.author} has deleted this file meanwhile.` : `${found.author} has changed this file meanwhile.`;
  document.getElementById("conflict-difference").replaceChildren(
    ...found.difference.map(([kind, text]) => element("span", `line ${kind}`, text)),
  );
  saveState.textContent = "Not saved: decide above";
  banner.hidden = false;
  banner.scrollIntoView({ block: "nearest" });
  document.getElementById("keep-mine").focus();
}

async function settle(keepMine) {
  const mine = view.state.sliceDoc();
  const lost = keepMine ? conflict.theirs : mine;
  const aside = { path, text: lost, author: keepMine ? conflict.author : box.dataset.author, because: keepMine ? "replaced in a conflict" : "gave way in a conflict" };
  if (lost !== null) {
    const answer = await post(box.dataset.aside, aside).catch(() => null);
    if (answer?.status !== 204) {
      saveState.textContent = "The other text could not be set aside, so nothing was done. Try once more.";
      return;
    }
  }
  ({ version, base } = conflict);
  if (!keepMine) {
    const theirs = conflict.theirs ?? "";
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: theirs } });
    saved = theirs;
  } else {
    saved = conflict.theirs ?? "";
  }
  conflict = null;
  banner.hidden = true;
  saveState.textContent = keepMine ? "Theirs is set aside" : "Yours is set aside";
  showChanged();
  if (keepMine) await save();
  view.focus();
}

// ---------------------------------------------------------------- putting it together

const readOnly = new Compartment();
const view = new EditorView({
  parent: box,
  state: EditorState.create({
    doc: original,
    extensions: [
      EditorState.lineSeparator.of(lineEnd),
      lineNumbers(),
      foldGutter(),
      lintGutter(),
      highlightSpecialChars(),
      history(),
      drawSelection(),
      indentOnInput(),
      indentUnit.of("  "),
      bracketMatching(),
      closeBrackets(),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      highlightSelectionMatches(),
      yaml(),
      syntaxHighlighting(colours),
      look,
      autocompletion({ override: [complete], activateOnTypingDelay: 150 }),
      EditorView.cspNonce.of(meta("style-nonce")),
      EditorView.contentAttributes.of({ "aria-label": `Text of ${path}`, tabindex: "0" }),
      EditorView.lineWrapping,
      readOnly.of([EditorState.readOnly.of(!mayEdit), EditorView.editable.of(true)]),
      keymap.of([
        { key: "Mod-s", run: () => (save(), true), preventDefault: true },
        { key: "Tab", run: acceptCompletion },
        { key: "Tab", run: indentMore, shift: indentLess },
        ...closeBracketsKeymap,
        ...defaultKeymap,
        ...searchKeymap,
        ...historyKeymap,
        ...foldKeymap,
        ...completionKeymap,
        ...lintKeymap,
      ]),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) {
          showChanged();
          checkSoon(update.view);
        }
        if (update.selectionSet || update.docChanged) showSentence(update.view);
      }),
    ],
  }),
});
textarea.hidden = true;
document.querySelector('label[for="source"]').remove();
saveButton?.addEventListener("click", save);
document.getElementById("keep-mine").addEventListener("click", () => settle(true));
document.getElementById("keep-theirs").addEventListener("click", () => settle(false));
window.addEventListener("beforeunload", (event) => {
  if (isChanged()) event.preventDefault();
});
const line = Number(box.dataset.line);
if (line) goTo(view, { file: path, line, column: 1, length: 1 });
showState(view);
