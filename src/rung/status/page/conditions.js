// Conditions in words, for those that a host page has not named. What is in none of these forms stands as it is.

const COMPARED = /^(NOT )?([A-Za-z_][\w.]*) (=|<>|<=|>=|<|>) (-?\d+|'(?:[^']|'')*')$/;
const UNKNOWN = /^([A-Za-z_][\w.]*) IS (NOT )?NULL$/;
const TOLD = /^(NOT )?([A-Za-z_][\w.]*)$/;
const OPPOSITE = { "=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<" };

/** The words of a condition; `figure` writes a number of a name: money as money. */
export function conditionWords(expression, words, figure) {
  if (words.isNamed(expression)) return words.name(expression);
  const [, isNotCompared, name, operator, value] = COMPARED.exec(expression) ?? [];
  if (operator !== undefined) {
    const told = value.startsWith("'") ? value.slice(1, -1).replaceAll("''", "'") : figure(name, Number(value));
    return words.compared(nameOf(name, words), isNotCompared ? OPPOSITE[operator] : operator, told);
  }
  const [, unknown, isKnown] = UNKNOWN.exec(expression) ?? [];
  if (unknown !== undefined) return isKnown ? words.isKnown(nameOf(unknown, words)) : words.isUnknown(nameOf(unknown, words));
  const [, isNot, attribute] = TOLD.exec(expression) ?? [];
  if (attribute === undefined) return expression;
  return isNot ? words.isNot(nameOf(attribute, words)) : nameOf(attribute, words);
}

function nameOf(name, words) {
  return words.name(name.replace(/^user\./, ""));
}
