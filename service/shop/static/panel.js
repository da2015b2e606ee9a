// The panel: each decision with what won, why, and what kept the others away.
const OUTCOMES = { offer: "", holdout: "held out", no_match: "no rule holds", suppressed: "kept back", degraded: "degraded" };
const KEEP = 12;
let last = "";

function node(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((each) => each != null));
  return made;
}

// `not` of one thing says already what that thing is; only what was found is added.
function plain(report) {
  const [part] = report.parts ?? [];
  return report.kind === "not" && part && !part.parts?.length ? { ...report, actual: part.actual, distance: part.distance, missing: part.missing, parts: [] } : report;
}

function condition(given) {
  const report = plain(given);
  const truth = report.truth === true ? "true" : report.truth === false ? "false" : "unknown";
  const item = node("li", truth, report.text);
  const facts = [report.actual, report.distance, report.missing && `${report.missing} is not known`].filter(Boolean);
  if (facts.length && !report.parts?.length) item.append(" ", node("em", "", `(${facts.join("; ")})`));
  if (report.parts?.length) item.append(node("ul", "why", ...report.parts.map(condition)));
  return item;
}

function folded(summary, content) {
  return node("details", "", node("summary", "", summary), content);
}

function spot(answer) {
  const made = node("div", "spot", node("b", "", answer.placement.replaceAll("_", " ")), " ");
  for (const offer of answer.offers) {
    made.append(node("span", `tag ${offer.rule ? "offer-tag" : ""}`, offer.offer), " ");
    if (offer.rule) made.append(node("div", "quiet", `because of ${offer.rule}`));
    if (offer.reasons?.length) made.append(node("ul", "why", ...offer.reasons.map(condition)));
  }
  if (OUTCOMES[answer.outcome]) made.append(node("span", `tag ${answer.outcome === "degraded" ? "bad" : ""}`, OUTCOMES[answer.outcome]));
  if (answer.lost?.length) {
    made.append(folded(`${answer.lost.length} kept back`, node("ul", "why", ...answer.lost.map((each) => node("li", "false", `${each.offer}: ${each.because.replaceAll("_", " ")}${each.detail ? `, ${each.detail}` : ""}`)))));
  }
  if (answer.valid_until) made.append(node("div", "quiet", `holds until ${new Date(answer.valid_until).toLocaleTimeString()} unless something happens`));
  return made;
}

function nearMisses(rules) {
  const near = rules.filter((each) => each.near_miss && each.failing?.length);
  if (!near.length) return null;
  return folded(`${near.length} ${near.length === 1 ? "rule is" : "rules are"} one condition away`,
    node("ul", "why", ...near.map((each) => node("li", "false", node("b", "", each.rule), node("ul", "why", ...each.failing.map(condition))))));
}

// What tells two decisions apart for a reader: who won, who did not, and under which revision.
const gist = (decision) => JSON.stringify([decision.revision, decision.degraded, decision.placements.map((each) => [each.placement, each.outcome,
  each.offers.map(({ offer, rule, content }) => [offer, rule, content]), (each.lost ?? []).map(({ offer, because }) => [offer, because])])]);

// Put a decision on top of the list; one that says the same as the one on top takes its place.
export function showDecision(decision, took) {
  const degraded = (decision.degraded ?? []).map((each) => node("div", "", node("span", "tag bad", each.code.replaceAll("_", " ")), " ", each.detail));
  const item = node("li", "",
    node("div", "stamp", node("span", "", new Date().toLocaleTimeString()), node("span", "", `${decision.revision != null ? `revision ${decision.revision}, ` : ""}${took.toFixed(0)} ms`)),
    ...degraded, ...decision.placements.map(spot), nearMisses(decision.rules ?? []));
  item.dataset.decision = decision.decision_id ?? "";
  const list = document.querySelector("#decisions");
  const before = list.firstElementChild;
  if (before && gist(decision) === last) {
    item.querySelectorAll("details").forEach((each, n) => { each.open = before.querySelectorAll("details")[n]?.open ?? false; });
    before.replaceWith(item);
  } else list.prepend(item);
  last = gist(decision);
  while (list.children.length > KEEP) list.lastElementChild.remove();
}

export function showSession(id) {
  document.querySelector("#session").textContent = `Session ${id}`;
}
