"use strict";
// Mark in the graph the instruction that is pointed at, and the arrows to it; arrow keys go through the list.
function markInGraph(svg, name) {
  for (const node of svg.querySelectorAll(".node")) {
    node.classList.toggle("here", node.dataset.name === name);
    if (node.dataset.name === name) showInside(svg.parentElement, node.getBoundingClientRect());
  }
  for (const arrow of svg.querySelectorAll(".arrow")) arrow.classList.toggle("here", arrow.dataset.to === name);
}
function showInside(box, place) {
  const frame = box.getBoundingClientRect();
  if (place.top < frame.top || place.bottom > frame.bottom) box.scrollTop += place.top - frame.top - frame.height / 2;
  if (place.left < frame.left || place.right > frame.right) box.scrollLeft += place.left - frame.left - frame.width / 2;
}
const instructions = [...document.querySelectorAll("ol.instructions li[data-name]")];
for (const svg of document.querySelectorAll("svg.graph")) {
  instructions.forEach((item, place) => {
    item.addEventListener("focus", () => markInGraph(svg, item.dataset.name));
    item.addEventListener("keydown", (event) => {
      const next = instructions[place + ({ ArrowDown: 1, ArrowUp: -1 }[event.key] ?? NaN)];
      if (next) {
        event.preventDefault();
        next.focus();
      }
    });
  });
  for (const node of svg.querySelectorAll(".node")) {
    node.addEventListener("click", () => instructions.find((item) => item.dataset.name === node.dataset.name)?.focus());
  }
}
