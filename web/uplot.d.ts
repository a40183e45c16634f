/** Types of `uplot.js`, which the build copies from node_modules/uplot/dist/uPlot.esm.js. */
export { default } from 'uplot'
