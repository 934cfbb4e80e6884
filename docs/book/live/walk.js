// A graph is walked forwards, then backwards: one instruction a step, of a program that has computed all of it.
const choice = control("graph", choose);
const position = control("position", draw);
const inputs = document.querySelector("#inputs");
let arguments_ = [];

function choose() {
  const graph = data[choice.value];
  document.querySelectorAll("[data-graph]").forEach((each) => (each.hidden = each.dataset.graph !== choice.value));
  inputs.replaceChildren();
  arguments_ = graph.inputs.map((input) => Float64Array.from(input.at));
  graph.inputs.forEach((input, i) =>
    input.at.forEach((at, j) => {
      const label = document.createElement("label");
      const name = input.at.length > 1 ? `${input.name}[${j}]` : input.name;
      label.innerHTML = `<span>${name}</span><input type="range" min="-2" max="3" step="0.05"><output></output>`;
      const [, slider, said] = label.children;
      slider.name = `input-${name}`;
      slider.value = at;
      said.textContent = at;
      slider.addEventListener("input", () => {
        arguments_[i][j] = Number(slider.value);
        said.textContent = slider.value;
        draw();
      });
      inputs.append(label);
    }),
  );
  document.querySelector('[name="position"]').max = 2 * graph.rows.length;
  position.value = 0;
  draw();
}

// The text of a number, or of several, short enough for its box.
function text(values) {
  const each = Array.from(values, (value) => String(Number(value.toPrecision(4))));
  return each.length > 1 ? `[${each.join(", ")}]` : each[0];
}

function draw() {
  const graph = data[choice.value];
  const outputs = programs[choice.value](...arguments_);
  const count = graph.rows.length;
  const at = position.value;
  const known = new Map();
  graph.inputs.forEach((input, i) => known.set(input.name, arguments_[i]));
  graph.rows.slice(0, at).forEach((row, i) => known.set(row.name, outputs[i]));
  const cotangents = new Map();
  if (at >= count) cotangents.set(graph.rows[count - 1].name, Float64Array.of(1));
  for (let walked = 0; walked < at - count; walked++) {
    for (const share of graph.rows[count - 1 - walked].shares) cotangents.set(share.of, outputs[share.total]);
  }
  const drawing = document.querySelector(`[data-graph="${choice.value}"] svg`);
  const current = at === 0 ? null : graph.rows[at <= count ? at - 1 : 2 * count - at];
  for (const node of drawing.querySelectorAll(".node")) {
    const [, value, cotangent] = node.querySelectorAll("text");
    const name = node.dataset.name;
    value.textContent = known.has(name) ? text(known.get(name)) : "";
    cotangent.textContent = cotangents.has(name) ? `cotangent ${text(cotangents.get(name))}` : "";
    node.classList.toggle("here", current?.name === name);
  }
  for (const arrow of drawing.querySelectorAll(".arrow")) {
    arrow.classList.toggle("here", current?.name === arrow.dataset.to);
  }
  const said = document.querySelector("#said");
  if (!current) said.innerHTML = "<p>Nothing is computed yet. Go a step forward.</p>";
  else if (at <= count) {
    said.innerHTML = `<p>Forward: <b>${current.equation}</b> = ${text(known.get(current.name))}</p>`;
    if (at === count) said.innerHTML += "<p>This is the result; its cotangent is 1. Now we go back.</p>";
  } else {
    const shares = current.shares.map(
      (share) =>
        `<li><span class="bar">${share.of}</span> += ${share.equation} = ${text(outputs[share.share])}` +
        ` <span class="form">(so far ${text(outputs[share.total])})</span></li>`,
    );
    const complete =
      current === graph.rows[count - 1]
        ? `<b>${current.name}</b> is the result, and its cotangent 1`
        : `all readers of <b>${current.name}</b> have given their shares, so its cotangent is complete: ` +
          text(cotangents.get(current.name));
    said.innerHTML =
      `<p>Backward: ${complete}. It is ${current.equation}, with the rule</p><ul>${shares.join("")}</ul>`;
  }
  show("position", at);
  // For those who compare: what is known of each value, with all digits.
  document.querySelector(".live").dataset.known = JSON.stringify(numbersOf(known));
  document.querySelector(".live").dataset.cotangents = JSON.stringify(numbersOf(cotangents));
}

function numbersOf(map) {
  return Object.fromEntries([...map].map(([name, values]) => [name, Array.from(values)]));
}

document.querySelector("#back").addEventListener("click", () => go(-1));
document.querySelector("#next").addEventListener("click", () => go(1));
document.addEventListener("keydown", (event) => {
  const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const plain = !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey); // Alt goes back to another page.
  if (way && plain && !["INPUT", "SELECT"].includes(event.target.tagName)) go(way);
});

function go(way) {
  position.value = Math.min(Math.max(position.value + way, 0), 2 * data[choice.value].rows.length);
  draw();
}

choose();
