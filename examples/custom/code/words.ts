export async function main({ topics }: { topics: string[] }): Promise<Record<string, number>> {
  const texts = await Promise.all(topics.map((topic) => context.run("headlines", { topic, count: 1 })));
  return Object.fromEntries(topics.map((topic, index) => [topic, texts[index].split(/\s+/).length]));
}
