// The derivative at one place, three times: by two values, by two values around it, by a complex step.
const controls = { function: control("function", draw), power: control("power", draw) };
const plane = new Plane(
  document.querySelector("#errors"), [-20, 0], [-17, 1], ["step size h", "relative error"], true);
const LINES = ["orange", "blue", "green"].map((colour) => plane.curve(colour));
const here = plane.curve("red dashed");
const NAMES = ["forward", "central", "complex"];
const POWERS = range(-20, 0, 161);
const handle = plane.handle("the power of the step size", "red", "x", (x) => {
  controls.power.value = Math.round(x * 8) / 8;
  draw();
});

function estimates(power) {
  const { at, exact } = data[controls.function.value];
  const found = programs[controls.function.value](Float64Array.of(at), Float64Array.of(10 ** power)).map((y) => y[0]);
  return found.map((value) => [value, Math.abs(value / exact - 1)]);
}

function draw() {
  const power = controls.power.value;
  const found = POWERS.map(estimates);
  // An error of 0 cannot be drawn on this axis: it lies below its end.
  LINES.forEach((line, i) => line(POWERS.map((x, j) => [x, Math.log10(Math.max(found[j][i][1], 1e-17))])));
  here([[power, -17], [power, 1]]);
  handle(power, -16.5);
  estimates(power).forEach(([value, error], i) => {
    show(NAMES[i], value, 17);
    show(`${NAMES[i]}-error`, error);
  });
  show("exact", data[controls.function.value].exact, 17);
  show("h", 10 ** power);
}

draw();
