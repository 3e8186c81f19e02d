import { describe, expect, test } from 'vitest';
import { canonical, countedAs, judgeAddress, parseAddress, parseCidr, parseIpv4, parseIpv6, within } from './addresses.ts';

const judge = (text: string) => {
  const bytes = parseAddress(text);
  if (!bytes) throw new Error(`not an address: ${text}`);
  return judgeAddress(bytes).kind;
};

describe('an address is judged by what it is', () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2001:4860:4860::8888',
    '2a00:1450:4001:830::200e',
    '64:ff9b::8.8.8.8',
    '::ffff:8.8.8.8',
  ])('%s is public', (text) => expect(judge(text)).toBe('public'));

  test.each([
    '10.0.0.1',
    '10.255.255.255',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.1.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '240.0.0.1',
    '::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'febf::1',
    'fec0::1',
    '100::1',
    '2001:db8::1',
    '2001::1',
    '2001:10::1',
    '3fff::1',
    '5f00::1',
    '4000::1',
    '::ffff:10.0.0.1',
    '::ffff:7f00:1',
    '::127.0.0.1',
    '::8.8.8.8',
    '::ffff:0:8.8.8.8',
    '64:ff9b::10.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::8.8.8.8',
    '2002:808:808::1',
    '2002:7f00:1::1',
    '2001:0:4136:e378:8000:63bf:3fff:fdd2',
    '2606:4700::5efe:10.0.0.1',
    '2606:4700::200:5efe:8.8.8.8',
  ])('%s is private', (text) => expect(judge(text)).toBe('private'));

  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '169.254.169.254',
    '169.254.170.2',
    '169.254.170.23',
    '100.100.100.200',
    '192.0.0.192',
    '168.63.129.16',
    '224.0.0.1',
    '239.255.255.255',
    '255.255.255.255',
    '::',
    'ff02::1',
    'fd00:ec2::254',
    'fd20:ce::254',
    'fe80::a9fe:a9fe',
    '::ffff:169.254.169.254',
    '::ffff:0.0.0.0',
    '::ffff:0:169.254.169.254',
    '::169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::a9fe:a9fe',
    '64:ff9b:1:a9fe:a9:fe00::',
    '2002:a9fe:a9fe::1',
    '2001:0:1:1:0:0:5601:5601',
    '2606:4700::5efe:169.254.169.254',
  ])('%s may never be opened', (text) => expect(judge(text)).toBe('never'));
});

test.each([
  '1.2.3',
  '1.2.3.4.5',
  '01.2.3.4',
  '1.2.3.04',
  '0x1.2.3.4',
  '256.1.1.1',
  '1.2.3.',
  ' 1.2.3.4',
  '1.2.3.4 ',
  '+1.2.3.4',
  '',
  '１.2.3.4',
])('%j is no IPv4 address', (text) => expect(parseIpv4(text)).toBeUndefined());

test.each([
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '12345::',
  'g::',
  '::1%eth0',
  '::1.2.3',
  '::1.2.3.4:5',
  '[::1]',
])('%j is no IPv6 address', (text) => expect(parseIpv6(text)).toBeUndefined());

test('one address has one canonical form, however it is written', () => {
  const forms = ['::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:FFFF:7F00:0001', '127.0.0.1'];
  expect(new Set(forms.map((text) => canonical(parseAddress(text)!))).size).toBe(1);
});

test('a block contains what shares its leading bits, and nothing of the other family', () => {
  const block = parseCidr('10.1.0.0/12')!;
  expect(within(parseAddress('10.15.255.255')!, block)).toBe(true);
  expect(within(parseAddress('10.16.0.0')!, block)).toBe(false);
  expect(within(parseAddress('::10.1.0.0')!, block)).toBe(false);
  expect(within(parseAddress('10.0.0.0')!, parseCidr('0.0.0.0/0')!)).toBe(true);
});

test.each(['10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '/8', '10.0.0.0/8/8', '10.0.0.0/-1', '::/129', 'x/8'])('%j is no block', (text) =>
  expect(parseCidr(text)).toBeUndefined(),
);

test('requests are counted against the whole /64 of an IPv6 address, and against an IPv4 address itself', () => {
  const own = countedAs('2001:db8:1:2::1');
  for (const near of ['2001:db8:1:2::2', '2001:DB8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2:0:0:0:1']) expect(countedAs(near)).toBe(own);
  for (const far of ['2001:db8:1:3::1', '2001:db8:2:2::1', '::1']) expect(countedAs(far)).not.toBe(own);
  expect(countedAs('192.0.2.1')).toBe('192.0.2.1');
  expect(countedAs('::ffff:192.0.2.1')).toBe('192.0.2.1');
  expect(countedAs('local')).toBe('local');
});
