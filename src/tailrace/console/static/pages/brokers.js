export const Brokers = { template: '<p>to come</p>' }
