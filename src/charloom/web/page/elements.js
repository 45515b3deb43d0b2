/** The page's elements by their id. */

export const $ = (id) => document.getElementById(id);
