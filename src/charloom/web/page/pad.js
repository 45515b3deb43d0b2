/** A square of numbers to draw on with a finger, a pen or the mouse; the field above it takes them typed. */

/**
 * Put a drawing pad of side * side numbers into `field`. `read()` gives the numbers or null, `drawn` hears
 * them change; `ink` is the number that a stroke leaves. Returns a function that shows what `read` gives.
 */
export function pad(field, { side, ink, read, drawn }) {
  const canvas = document.createElement("canvas");
  canvas.className = "pad";
  canvas.ariaHidden = "true"; // the field says the same
  canvas.width = canvas.height = side;
  field.append(canvas);
  const show = () => {
    const values = read() ?? [];
    const image = new ImageData(side, side);
    const [warm] = [getComputedStyle(canvas).getPropertyValue("--warm").split(",").map(Number)];
    for (let n = 0; n < side * side; n++) {
      image.data.set([...warm, Math.round(255 * Math.min(1, Math.max(0, (values[n] || 0) / ink)))], 4 * n);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };
  const stroke = ({ offsetX, offsetY, buttons }) => {
    if (!buttons) return;
    const [x, y] = [offsetX, offsetY].map((at) => Math.floor((at / canvas.clientWidth) * side));
    if (x < 0 || y < 0 || x >= side || y >= side) return;
    const values = read()?.length === side * side ? read() : new Array(side * side).fill(0);
    values[y * side + x] = Math.round(100 * ink) / 100;
    drawn(values);
    show();
  };
  canvas.onpointerdown = stroke;
  canvas.onpointermove = stroke;
  show();
  return show;
}
