import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isFault } from '#kernel';
import { readParameters } from './parameters.ts';
import { redirectFlaw, verifyRedirect } from './redirects.ts';
import { isResource } from './resources.ts';
import { readScopes } from './scopes.ts';

it('an empty parameter is absent, and only a repeatable one keeps every value in order', () => {
  const parameters = readParameters('a=&b=1&resource=x&resource=y&resource=&c=1&c=2');
  expect([parameters.one('a'), parameters.one('b'), parameters.all('resource')]).toEqual([undefined, '1', ['x', 'y']]);
  expect(() => parameters.one('c')).toThrow('more than once');
  expect(() => parameters.refuseRepeats()).toThrow('more than once');
  expect(() => readParameters('resource=x&resource=y').refuseRepeats()).not.toThrow();
});

it('whatever comes is read, or refused as not valid', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 500 }), fc.string({ unit: 'binary' }), (text, other) => {
      try {
        const parameters = readParameters(text);
        parameters.one('a');
        parameters.refuseRepeats();
      } catch (error) {
        expect(isFault(error, 'invalid_request')).toBe(true);
      }
      readScopes(text);
      isResource(text);
      const flaw = redirectFlaw(text);
      expect(verifyRedirect(other, [text]) === undefined || other === text || flaw === undefined).toBe(true);
    }),
  );
  expect(() => readParameters('a'.repeat(70_000))).toThrow('too long');
  expect(() => readParameters('a=1&'.repeat(101))).toThrow('too many');
});
