/** Text from outside: short, and nothing that changes how the page around it reads. */
export function shown(text: string, longest = 255): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, '').slice(0, longest);
}
